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

// As an option of a server, a Linter fails the test for each finding when the
// server is closed.
func ExampleLinter() {
	_ = func(t *testing.T) {
		reg := registrytest.NewServer(t, lint.Linter{
			Except: []lint.Rule{lint.UploadOpen}, // the client gives up after a failure
		})
		use(reg.URL)
	}
}

// Without a server, Lint finds the same in the requests of a journal.
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
	// upload-location: the registry has given no Location for this session
}

// A client that should only pull must not send any other request.
func ExampleExpect() {
	_ = func(t *testing.T) {
		reg := registrytest.NewServer(t, lint.Expect(registry.Ping, registry.GetManifest, registry.GetBlob))
		use(reg.URL)
	}
}

func use(url string) { http.Get(url) }
