// Package bench compares this registry with others that run in a test's own
// process, and with stubs that do the least that a registry has to do.
package bench

import (
	"context"
	"io"
	"log"
	"net/http"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/sirupsen/logrus"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
)

// A Registry is a registry to measure. It may be a stub or a proxy.
type Registry struct {
	Name string

	// Disk is whether the registry keeps its content in a directory, and not in
	// memory.
	Disk bool

	// Stub is whether the registry is a stub, to which others are compared.
	Stub bool

	// New returns the handler of a registry. A registry on disk keeps its content
	// in dir, which may already have content.
	New func(dir string) (http.Handler, error)
}

// Registries returns the registries in memory, and then those on disk. In each
// group, the registry of this project is the first and the stub is the last.
func Registries() []Registry {
	return []Registry{
		{Name: "memstore", New: func(string) (http.Handler, error) {
			return registry.New(memstore.New()), nil
		}},
		{Name: "ggcr", New: func(string) (http.Handler, error) {
			return ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true)), nil
		}},
		{Name: "ocimem", New: func(string) (http.Handler, error) {
			return ociserver.New(ocimem.New(), nil), nil
		}},
		{Name: "distribution", New: func(string) (http.Handler, error) {
			return newDistribution("inmemory", nil)
		}},
		{Name: "stub", Stub: true, New: func(string) (http.Handler, error) {
			return newStub(""), nil
		}},
		{Name: "layout", Disk: true, New: func(dir string) (http.Handler, error) {
			s, err := layout.Open(dir)
			if err != nil {
				return nil, err
			}
			return registry.New(s), nil
		}},
		{Name: "ggcr-disk", Disk: true, New: func(dir string) (http.Handler, error) {
			return ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithBlobHandler(ggcr.NewDiskBlobHandler(dir))), nil
		}},
		{Name: "distribution-disk", Disk: true, New: func(dir string) (http.Handler, error) {
			return newDistribution("filesystem", configuration.Parameters{"rootdirectory": dir})
		}},
		{Name: "stub-disk", Disk: true, Stub: true, New: func(dir string) (http.Handler, error) {
			return newStub(dir), nil
		}},
	}
}

// newDistribution returns a distribution registry with the storage driver. It
// also silences the logger of distribution, which the whole process shares.
func newDistribution(driver string, params configuration.Parameters) (http.Handler, error) {
	logrus.SetOutput(io.Discard)
	config := &configuration.Configuration{
		Storage: configuration.Storage{
			driver:        params,
			"delete":      configuration.Parameters{"enabled": true},
			"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
		},
	}
	config.Log.Level = "panic"
	config.Catalog.MaxEntries = 1 << 20
	return handlers.NewApp(context.Background(), config), nil
}
