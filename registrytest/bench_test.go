package registrytest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ocireg/registry/registrytest"
)

// The two benchmarks are a pair: a registry is to cost a test at most 1.2
// times what a server costs that does nothing.

func BenchmarkServer(b *testing.B) {
	for b.Loop() {
		s := registrytest.NewServer(b)
		requireUp(b, s)
		s.Close()
	}
}

func BenchmarkServerHTTPTest(b *testing.B) {
	for b.Loop() {
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		get(b, s.Client(), s.URL)
		s.Close()
	}
}
