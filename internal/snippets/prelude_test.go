package snippets

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// clients maps test files of package registrytest to the function in each that
// many snippets call.
var clients = map[string]string{"doc_test.go": "pull", "synctest_test.go": "getPatiently"}

// clientCode returns the source of the functions in clients.
func clientCode(t *testing.T) (code string) {
	t.Helper()
	for file, name := range clients {
		source, err := os.ReadFile(filepath.Join(root(t), "registrytest", file))
		if err != nil {
			t.Fatal(err)
		}
		begin := "\nfunc " + name + "("
		_, rest, ok := strings.Cut(string(source), begin)
		body, _, ok2 := strings.Cut(rest, "\n}\n")
		if !ok || !ok2 {
			t.Fatalf("registrytest/%s has no function %s", file, name)
		}
		code += begin + body + "\n}\n"
	}
	return code
}

// prelude has files to compile together with the snippets: the variables that
// snippets use without declaring them, and other packages that they import.
var prelude = map[string]string{
	"prelude_test.go": `package snippets

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/explore"
	"github.com/ocireg/registry/registrytest/inject"
	"github.com/ocireg/registry/registrytest/upstream"
)

var (
	ctx     = context.Background()
	store   registry.Store
	seeded  *memstore.Store
	images  *layout.Store
	reg     *registrytest.Server
	network *registrytest.Network
	a       *auth.Auth
	hold    *inject.Gate
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

	listener net.Listener
	cache    *upstream.Store
)

func push() {}

func operation(t *explore.T, reg *registrytest.Server) error { return nil }

func setup(t *explore.T, reg *registrytest.Server) { reg.Push(t, "team/app:v1", content.Image()) }

func list(ctx context.Context, c *http.Client, ref string) ([]string, error) { return nil, nil }

func upload(c *http.Client, ref string, blob io.Reader) error { return nil }

func download(ctx context.Context, c *http.Client, ref string) ([]byte, error) { return nil, nil }
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
