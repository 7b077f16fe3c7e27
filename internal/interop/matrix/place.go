package matrix

import (
	"fmt"
	"testing"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/upstream"
)

// A place is where the registry that a client talks to has its content.
type place struct {
	name string

	// open returns the options of a server with content at the place. The
	// options of the scenario apply to the registry that carries out the
	// operations.
	open func(t *testing.T, s scenario) []registrytest.Option

	// proxy reports whether the server passes requests on to another registry.
	proxy bool

	// foreign reports whether the other registry is not of this project, and
	// takes no options. Some of its outcomes are in a separate table.
	foreign bool
}

// skip skips a test of a proxy in short mode, unless it is one of a few.
func (p place) skip(t *testing.T, s scenario, scheme string, first bool) {
	if !p.proxy || !testing.Short() || scheme == "http" && (!p.foreign || s.differs && first) {
		return
	}
	t.Skip("is one of many behind a proxy")
}

// places returns the stores, and registries behind a proxy.
func places() []place {
	ps := []place{
		{name: "memstore behind a proxy", proxy: true, open: func(t *testing.T, s scenario) []registrytest.Option {
			return []registrytest.Option{upstream.Proxy(registrytest.NewServer(t, s.options...).URL)}
		}},
		{name: "distribution behind a proxy", proxy: true, foreign: true, open: func(t *testing.T, s scenario) []registrytest.Option {
			storage := "inmemory: {}"
			if s.large { // This scenario takes minutes behind a proxy.
				storage = fmt.Sprintf("filesystem: {rootdirectory: %q}", t.TempDir())
			}
			return []registrytest.Option{upstream.Proxy(StartDistribution(t, storage+", delete: {enabled: true}"))}
		}},
	}
	for name, open := range Stores() {
		ps = append(ps, place{name: name, open: func(t *testing.T, s scenario) []registrytest.Option {
			return append([]registrytest.Option{registrytest.WithStore(open(t))}, s.options...)
		}})
	}
	return ps
}
