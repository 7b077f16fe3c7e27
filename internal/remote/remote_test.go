package remote_test

import (
	"net/http/httptest"
	"path"
	"testing"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/remote"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/conformance"
)

// beyond are the rules of a store that are not kept, and why.
var beyond = map[string]string{
	"no_write_comes_between_the_check_and_the_change": "there is no transaction in the API",
	"manifest_is_of_any_media_type":                   "a registry looks into manifests",
	"ReadFrom_gives_up_on_a_stuck_reader":             "nothing that is put is stuck",
	"many_tags_are_listed":                            "it takes long",
}

func TestStore(t *testing.T) {
	t.Parallel()
	conformance.Store(t, func(t *testing.T) registry.Store {
		if why := beyond[path.Base(t.Name())]; why != "" {
			t.Skip(why)
		}
		server := httptest.NewServer(registry.New(memstore.New(), registry.WithPageSize(3)))
		t.Cleanup(server.Close)
		return &remote.Store{Base: server.URL, Prefix: "some/where/", Client: server.Client()}
	})
}
