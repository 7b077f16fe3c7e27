package upstream

import (
	"net/url"

	"github.com/ocireg/registry/internal/remote"
)

// checkRealm returns the URL of the token service that a challenge of the
// registry names, or an error if credentials must not go there.
func checkRealm(registry *url.URL, realm string) (*url.URL, error) {
	return remote.CheckRealm(registry, realm)
}

// origin returns the scheme, host and port of a URL, as in
// "https://registry.example.com:443".
func origin(u *url.URL) string { return remote.Origin(u) }
