package registrytest

import (
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/internal/remote"
)

// WithRegistryFrom has the test run against another registry, if the
// environment variable has the address of one, such as "localhost:5000",
// "https://user:password@registry.example.com" or "ghcr.io/me/test": what
// follows the host is where the test's repositories are to be. Without a
// scheme it is https, or http for localhost and loopback addresses. If the
// variable is empty, the option does nothing.
//
// Each server is a part of that registry then, which is empty and which
// [Server.Ref] names. What the test leaves there stays. Push and the other
// methods of [State] go by HTTP, with the user and password of the address, if
// it has them, as Basic credentials.
//
// What only a registry of this process can do skips the test: all other
// options, and methods such as [Server.Restart] and [Server.Requests].
func WithRegistryFrom(env string) Option {
	return option{name: "WithRegistryFrom", once: "registry", set: func(s *settings) {
		s.env, s.external = env, os.Getenv(env)
	}}
}

// newExternal makes a server of another registry.
func newExternal(t TB, set *settings) *Server {
	t.Helper()
	s := &Server{t: t, env: set.env}
	s.service.t = t
	if len(set.given) > 1 {
		s.inProcess(t, "an option")
	}
	u, err := parseExternal(set.external)
	if err != nil {
		t.Fatalf("registrytest: the address in %s: %v", set.env, err)
	}
	s.URL = u.Scheme + "://" + u.Host
	s.prefix = strings.TrimPrefix(u.Path+"/", "/") + uniqueName(t) + "/"
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	s.transport = func() *http.Transport { return transport }
	s.Store = &remote.Store{Base: s.URL, Prefix: s.prefix, User: u.User, Client: s.Client()}
	t.Cleanup(transport.CloseIdleConnections)
	return s
}

// inProcess skips the test if the registry is not of this process.
func (s *Server) inProcess(t TB, what string) {
	t.Helper()
	if s.env == "" {
		return
	}
	const format = "registrytest: %s needs a registry of this process, but %s has the address of another"
	if t, ok := t.(interface {
		Skipf(format string, args ...any)
	}); ok {
		t.Skipf(format, what, s.env)
	}
	t.Fatalf(format, what, s.env)
}

// uniqueName returns the name of a repository that nobody else has, but in
// which the test can be recognized.
func uniqueName(t TB) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		}
		return '-'
	}, t.Name())
	name = strings.Trim(name[:min(len(name), 40)], "-")
	return strings.TrimPrefix(name+"-"+strings.ToLower(rand.Text()[:8]), "-")
}

func parseExternal(address string) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		host, _, _ := strings.Cut(address, "/")
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		scheme := "https://"
		if names.Loopback(strings.Trim(host, "[]")) {
			scheme = "http://"
		}
		address = scheme + address
	}
	u, err := url.Parse(strings.TrimRight(address, "/"))
	if err != nil {
		return nil, err
	}
	if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, &url.Error{Op: "parse", URL: u.Redacted(), Err: errors.New("it is not that of a registry")}
	}
	return u, nil
}
