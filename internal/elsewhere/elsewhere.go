// Package elsewhere describes a registry of another process, such as a staging
// registry, to the server of a test.
package elsewhere

import (
	"net/http"

	"github.com/ocireg/registry"
)

// A Registry is a registry that is reached by HTTP.
type Registry struct {
	// Env is the environment variable that has its address.
	Env string

	// URL is its base URL, without a slash at the end.
	URL string

	// Prefix is the beginning of all names of repositories that the test uses.
	Prefix string

	// Store has the content of those repositories.
	Store registry.Store

	// Transport is for the clients of the test.
	Transport *http.Transport
}
