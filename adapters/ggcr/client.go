package ggcr

import (
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
)

// Reference returns the name of content of the server: given "team/app:v1" or
// "team/app@sha256:…", it names that content at the server's host. The name is
// insecure (see [name.Insecure]) if the server speaks HTTP. A reference that is
// not valid ends the test with Fatalf.
func Reference(t registrytest.TB, s *registrytest.Server, ref string) name.Reference {
	t.Helper()
	var opts []name.Option
	if strings.HasPrefix(s.URL, "http:") {
		opts = append(opts, name.Insecure)
	}
	if short, ok := strings.CutPrefix(ref, s.Host()+"/"); ok {
		t.Fatalf("ggcr: a reference to %s: leave out the host, Reference takes %q", ref, short)
	}
	r, err := name.ParseReference(s.Ref(ref), opts...)
	if err != nil {
		t.Fatalf("ggcr: %v", err)
	}
	return r
}

// Options returns the options with which package remote reaches
// a [registrytest.Server], or the registries of a [registrytest.Network]. The
// client has the credentials of the first keychain that knows the registry, such
// as one of [Keychain], and none otherwise.
//
// Package remote assumes that a registry at a loopback address has no HTTPS, and
// refuses the second page of a list that comes by HTTPS from there. In a network, a
// registry has a name, so this does not happen.
func Options(reg interface{ Transport() *http.Transport }, keychains ...authn.Keychain) []remote.Option {
	return []remote.Option{
		remote.WithTransport(reg.Transport()),
		remote.WithAuthFromKeychain(authn.NewMultiKeychain(keychains...)),
	}
}

// Keychain returns a keychain that has the credentials for the server, and no
// others: a client that uses it for another host is anonymous there.
// [authn.NewMultiKeychain] joins the keychains of several servers.
func Keychain(s *registrytest.Server, c auth.Credentials) authn.Keychain {
	return keychain{s.Host(), authn.FromConfig(authn.AuthConfig{Username: c.Username, Password: c.Password})}
}

type keychain struct {
	host string
	authn.Authenticator
}

func (k keychain) Resolve(r authn.Resource) (authn.Authenticator, error) {
	host := k.host
	if registry, err := name.NewRegistry(host); err == nil {
		host = registry.RegistryStr() // Here docker.io is named index.docker.io.
	}
	if r.RegistryStr() != host {
		return authn.Anonymous, nil
	}
	return k.Authenticator, nil
}
