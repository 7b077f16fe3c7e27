package heavy

import (
	"strings"
	"testing"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
)

// everywhere runs a test on every store, over HTTP and HTTPS, and behind every
// way to log in. Nothing comes in pages of more than two.
func everywhere(t *testing.T, test func(t *testing.T, reg *registrytest.Server, as auth.Credentials), opts ...registry.Option) {
	ways := map[string][]registry.Option{
		"HTTP":          nil,
		"HTTPS":         {registrytest.WithTLS()},
		"Basic":         {registrytest.WithBasic()},
		"Bearer":        {registrytest.WithBearer()},
		"HTTPS, Basic":  {registrytest.WithTLS(), registrytest.WithBasic()},
		"HTTPS, Bearer": {registrytest.WithTLS(), registrytest.WithBearer()},
	}
	for way, more := range ways {
		for store, open := range matrix.Stores() {
			t.Run(way+"/"+store, func(t *testing.T) {
				t.Parallel()
				all := append([]registry.Option{registrytest.WithStore(open(t)), registry.WithPageSize(2)}, opts...)
				reg := registrytest.NewServer(t, append(all, more...)...)
				var as auth.Credentials
				if strings.HasSuffix(way, "Basic") || strings.HasSuffix(way, "Bearer") {
					as = reg.User(t, "ci")
				}
				test(t, reg, as)
			})
		}
	}
}

func overTLS(reg *registrytest.Server) bool { return strings.HasPrefix(reg.URL, "https:") }
