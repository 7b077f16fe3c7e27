package oras

import (
	"fmt"
	"net/http"
	"strings"

	"oras.land/oras-go/v2/registry/remote"
	orasauth "oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
)

// Repository returns a client for a repository of the server. The reference has no
// host, as in "team/app" or "team/app:v1". An error ends the test with Fatalf. See
// [NewRepository].
func Repository(t registrytest.TB, s *registrytest.Server, ref string, c ...auth.Credentials) *remote.Repository {
	t.Helper()
	repo, err := NewRepository(s, ref, c...)
	if err != nil {
		t.Fatalf("oras: %v", err)
	}
	return repo
}

// NewRepository returns a client for a repository of the server, which has the
// [Client] of the server and the scheme of its URL.
func NewRepository(s *registrytest.Server, ref string, c ...auth.Credentials) (*remote.Repository, error) {
	repo, err := remote.NewRepository(s.Ref(ref))
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", s.Ref(ref), err)
	}
	repo.Client = Client(s, c...)
	repo.PlainHTTP = strings.HasPrefix(s.URL, "http:")
	return repo, nil
}

// Client returns a client that uses the server's transport and retries as
// [orasauth.DefaultClient] does. It sends the first of the credentials to the server
// only. Without credentials it is anonymous.
func Client(s *registrytest.Server, c ...auth.Credentials) *orasauth.Client {
	client := &orasauth.Client{
		Client: &http.Client{Transport: retry.NewTransport(s.Transport())},
		Cache:  orasauth.NewCache(),
	}
	if len(c) > 0 {
		client.Credential = orasauth.StaticCredential(s.Host(), orasauth.Credential{Username: c[0].Username, Password: c[0].Password})
	}
	return client
}
