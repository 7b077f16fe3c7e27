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
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
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
	d       = digest.FromString("")
	layer   content.Blob
	fsys    fs.FS
	w       io.Writer

	listener net.Listener
	cache    *upstream.Store
)

// refused has the rules in snippets that make no sense, each with its place.
var refused []string

func checkRule(at string, r fault.Rule) bool {
	var rules inject.Rules
	_, err := rules.Add(r)
	if err != nil {
		if _, ofGate := rules.Gate(r); ofGate != nil {
			refused = append(refused, at+": "+err.Error())
		}
	}
	return true
}

func TestRules(t *testing.T) {
	for _, rule := range refused {
		t.Error(rule)
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
