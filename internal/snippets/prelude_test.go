package snippets

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// readerPull returns the function pull of package registrytest's tests, which
// many snippets call.
func readerPull(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root(t), "registrytest", "doc_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(source), "\nfunc pull(")
	body, _, ok2 := strings.Cut(rest, "\n}\n")
	if !ok || !ok2 {
		t.Fatal("registrytest/doc_test.go has no function pull")
	}
	return "\nfunc pull(" + body + "\n}\n"
}

// These files surround the snippets: the variables that snippets use without
// declaring them, and the code of a reader that they call.
var prelude = map[string]string{
	"prelude_test.go": `package snippets

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
)

var (
	ctx     = context.Background()
	store   registry.Store
	seeded  *memstore.Store
	reg     *registrytest.Server
	network *registrytest.Network
	a       *auth.Auth
	hold    *fault.Gate
	app     content.Content
	handler http.Handler
	logger  *slog.Logger
	ops     []registry.Op
	options []registry.Option
	dir     string
	d       digest.Digest
	layer   content.Blob
	fsys    fs.FS
	w       io.Writer
)

func push() {}

// getPatiently repeats a request as the registry asks it to.
func getPatiently(c *http.Client, url string) (*http.Response, error) {
	for {
		resp, err := c.Get(url)
		if err != nil || resp.StatusCode != http.StatusServiceUnavailable {
			return resp, err
		}
		resp.Body.Close()
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil {
			return nil, err
		}
		time.Sleep(time.Duration(seconds) * time.Second)
	}
}
`,
	"mystore/mystore.go": `package mystore

import (
	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

func New(dir string) registry.Store { return memstore.New() }
`,
	"myregistry/myregistry.go": `package myregistry

import (
	"net/http"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

func New() http.Handler {
	return registry.New(memstore.New(), registry.Without(registry.DeleteBlob))
}
`,
}
