package lint_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/journal"
	"github.com/ocireg/registry/registrytest/lint"
)

// A Linter that is an option of a server fails the test for each finding, when the
// server is closed.
func ExampleLinter() {
	_ = func(t *testing.T) {
		reg := registrytest.NewServer(t, lint.Linter{
			Except: []lint.Rule{lint.UploadOpen}, // This client gives up after a failure.
		})
		use(reg.URL)
	}
}

// Lint finds the requests in a journal that break a rule. It needs no server.
func ExampleLinter_Lint() {
	var j journal.Journal
	handler := j.Handler(registry.New(memstore.New(), registry.WithRecorder(&j)))
	r := httptest.NewRequest("PATCH", "/v2/app/blobs/uploads/123", strings.NewReader("hello"))
	r.Header.Set("Content-Range", "bytes 0-4/5")
	handler.ServeHTTP(httptest.NewRecorder(), r)

	for _, f := range (lint.Linter{}).Lint(j.Requests()) {
		fmt.Printf("%s: %s\n", f.Rule, f.Text)
	}
	// Output:
	// content-range: Content-Range is "bytes 0-4/5"
	// upload-location: the registry sent no Location for this session
}

// The test fails if the client, which should only pull, sends another request.
func ExampleExpect() {
	_ = func(t *testing.T) {
		reg := registrytest.NewServer(t, lint.Expect(registry.Ping, registry.GetManifest, registry.GetBlob))
		use(reg.URL)
	}
}

func use(url string) { http.Get(url) }
