// Package matrix tries clients of registries in scenarios, under faults and
// behind authentication, and compares the outcomes with the tables in
// docs/clients.md.
package matrix

import (
	"context"
	"io"
	"net/http"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
)

// A Client is an adapter for a library that talks to registries. References are
// complete, such as 127.0.0.1:43121/team/app:v1. A repository is a reference
// without a tag. If the library has no call for a method, the method returns an
// error of type [Lacks].
type Client interface {
	// Push pushes the content and everything that it refers to. The reference has
	// a tag or the digest of the content.
	Push(ctx context.Context, ref string, c content.Content) error

	// Pull pulls the manifest of the reference and everything that it refers to,
	// and passes each manifest and blob to the sink.
	Pull(ctx context.Context, ref string, sink Sink) error

	// Copy copies the content of one reference to another repository of the same
	// registry, with the library's call that can mount blobs.
	Copy(ctx context.Context, from, to string) error

	// PushChunks pushes a blob in chunks of the given size.
	PushChunks(ctx context.Context, repo string, b content.Blob, size int64) error

	// PullFrom reads a blob from the offset to its end.
	PullFrom(ctx context.Context, repo string, blob ocispec.Descriptor, offset int64) (io.ReadCloser, error)

	Tags(ctx context.Context, repo string) ([]string, error)
	Referrers(ctx context.Context, repo string, subject ocispec.Descriptor) ([]ocispec.Descriptor, error)

	DeleteTag(ctx context.Context, ref string) error
	DeleteManifest(ctx context.Context, repo string, manifest ocispec.Descriptor) error
	DeleteBlob(ctx context.Context, repo string, blob ocispec.Descriptor) error

	// ToLayout copies the content of the reference to a new image layout in the
	// directory. FromLayout pushes the content of a layout.
	ToLayout(ctx context.Context, ref, dir string, c content.Content) error
	FromLayout(ctx context.Context, dir, ref string, c content.Content) error
}

// Lacks is the error of a method for which the library has no call. Its text is the
// reason.
type Lacks string

func (l Lacks) Error() string { return string(l) }

// An Env is the registry that a client talks to, with the client's credentials.
type Env struct {
	// Host is the host of the registry. TLS is set if the registry uses HTTPS.
	Host string
	TLS  bool

	// Transport trusts the registry's certificate, which CA has in PEM.
	Transport http.RoundTripper
	CA        []byte

	// The client logs in with Credentials or IdentityToken, or with neither.
	Credentials   auth.Credentials
	IdentityToken string

	// Sequential makes the client upload one blob at a time.
	Sequential bool
}

// A Factory makes clients of one library.
type Factory struct {
	// Name is the name of the client in the tables of docs/clients.md.
	Name string

	New func(t *testing.T, env Env) Client
}

// newEnv returns an environment without credentials for a client of the registry.
func newEnv(reg *registrytest.Server) Env {
	// Each client has its own connections, which close with the server.
	env := Env{Host: reg.Host(), Transport: reg.Transport().Clone()}
	if reg.URL[:5] == "https" {
		env.TLS, env.CA = true, reg.CA().PEM()
	}
	return env
}
