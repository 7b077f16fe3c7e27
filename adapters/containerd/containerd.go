// Package containerd connects package registrytest with containerd. It makes
// resolvers that reach a server or the registries of a network, and content stores
// into which it copies content of a server, without a request.
//
// The package is a separate module, so that only tests that import it depend
// on containerd. Its go.mod replaces github.com/ocireg/registry by the checkout
// around it, and a module that uses it replaces both.
package containerd

import (
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
)

// Resolver returns a resolver that reaches the given hosts, such as those of
// [Hosts], and no others: the error for another host wraps errdefs.ErrNotFound.
func Resolver(hosts ...docker.RegistryHosts) remotes.Resolver {
	return docker.NewResolver(docker.ResolverOptions{Hosts: docker.Registries(hosts...)})
}

// Hosts returns the configuration by which containerd reaches the server: its
// scheme, its transport and the first of the credentials, if any. The configuration
// knows no other host; [docker.Registries] joins it with those of other servers, or
// with a function that sends a host to a mirror.
//
// Containerd keeps the tokens that it gets as long as it uses the same configuration.
func Hosts(s *registrytest.Server, c ...auth.Credentials) docker.RegistryHosts {
	client := &http.Client{Transport: s.Transport()}
	login := []docker.AuthorizerOpt{docker.WithAuthClient(client)}
	if len(c) > 0 {
		login = append(login, docker.WithAuthCreds(func(string) (user, secret string, err error) {
			return c[0].Username, c[0].Password, nil
		}))
	}
	configure := docker.ConfigureDefaultRegistries(
		docker.WithClient(client),
		docker.WithAuthorizer(docker.NewDockerAuthorizer(login...)),
		docker.WithPlainHTTP(func(string) (bool, error) { return strings.HasPrefix(s.URL, "http:"), nil }),
	)
	return func(host string) ([]docker.RegistryHost, error) {
		if host != s.Host() {
			return nil, nil
		}
		return configure(host)
	}
}
