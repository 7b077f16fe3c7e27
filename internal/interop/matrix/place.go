package matrix

import (
	"fmt"
	"testing"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/upstream"
)

// A place is a store, or another registry, that has the content of the
// registry under test.
type place struct {
	name string

	// open returns the options for a server whose content is at the place. The
	// options of the scenario apply to the registry that has the content. Behind a
	// proxy, that is another server.
	open func(t *testing.T, s scenario) []registrytest.Option

	// proxy is set if the server passes requests on to another registry.
	proxy bool

	// foreign is set if that other registry is not of this project, and takes no
	// options. A separate table has some of its outcomes.
	foreign bool
}

// skip skips the test in short mode if it is behind a proxy, except for a small sample.
func (p place) skip(t *testing.T, s scenario, scheme string, first bool) {
	if !p.proxy || !testing.Short() || scheme == "http" && (!p.foreign || s.differs && first) {
		return
	}
	t.Skip("not in the sample of tests behind a proxy")
}

// places returns all stores, and two registries behind a proxy.
func places() []place {
	ps := []place{
		{name: "memstore behind a proxy", proxy: true, open: func(t *testing.T, s scenario) []registrytest.Option {
			return []registrytest.Option{upstream.NewProxy(registrytest.NewServer(t, s.options...).URL)}
		}},
		{name: "distribution behind a proxy", proxy: true, foreign: true, open: func(t *testing.T, s scenario) []registrytest.Option {
			storage := "inmemory: {}"
			if s.large { // In memory, this scenario takes minutes behind a proxy.
				storage = fmt.Sprintf("filesystem: {rootdirectory: %q}", t.TempDir())
			}
			return []registrytest.Option{upstream.NewProxy(StartDistribution(t, storage+", delete: {enabled: true}"))}
		}},
	}
	for name, open := range Stores() {
		ps = append(ps, place{name: name, open: func(t *testing.T, s scenario) []registrytest.Option {
			return append([]registrytest.Option{registrytest.WithStore(open(t))}, s.options...)
		}})
	}
	return ps
}
