package heavy

import (
	"strings"
	"testing"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
)

// A tester is the part of *testing.T that *explore.T has, too.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	FailNow()
	TempDir() string
}

// everywhere runs a test with each store, over HTTP and HTTPS, and with each
// scheme of authentication. A page of a list has at most pageSize entries.
func everywhere(t *testing.T, pageSize int, test func(t *testing.T, reg *registrytest.Server, as auth.Credentials), opts ...registrytest.Option) {
	ways := map[string]struct {
		auth func(...string) *auth.Auth
		tls  bool
	}{
		"HTTP":          {},
		"HTTPS":         {tls: true},
		"Basic":         {auth: auth.Basic},
		"Bearer":        {auth: auth.Bearer},
		"HTTPS, Basic":  {auth: auth.Basic, tls: true},
		"HTTPS, Bearer": {auth: auth.Bearer, tls: true},
	}
	for name, way := range ways {
		for store, open := range matrix.Stores() {
			t.Run(name+"/"+store, func(t *testing.T) {
				t.Parallel()
				all := append([]registrytest.Option{registrytest.WithStore(open(t)), registry.WithPageSize(pageSize)}, opts...)
				if way.tls {
					all = append(all, registrytest.WithTLS())
				}
				var as auth.Credentials
				if way.auth != nil {
					who := way.auth()
					as = who.User("ci")
					all = append(all, who)
				}
				reg := registrytest.NewServer(t, all...)
				test(t, reg, as)
			})
		}
	}
}

func overTLS(reg *registrytest.Server) bool { return strings.HasPrefix(reg.URL, "https:") }
