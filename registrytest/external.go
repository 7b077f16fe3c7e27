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

// newExternal makes a server of another registry.
func newExternal(t TB, set *settings) *Server {
	t.Helper()
	s := &Server{t: t, env: set.env}
	if len(set.given) > 1 {
		s.inProcess(t, "an option")
	}
	u, err := parseExternal(os.Getenv(set.env))
	if err != nil {
		t.Fatalf("registrytest: the address in %s: %v", set.env, err)
	}
	s.URL = u.Scheme + "://" + u.Host
	s.prefix = strings.TrimPrefix(u.Path+"/", "/") + uniqueName(t) + "/"
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	client := &http.Client{Transport: transport}
	s.transport = func() *http.Transport { return transport }
	s.client = func() *http.Client { return client }
	s.Store = &remote.Store{Base: s.URL, Prefix: s.prefix, User: u.User, Client: &http.Client{Transport: transport}}
	t.Cleanup(transport.CloseIdleConnections)
	return s
}

// inProcess skips the test if the server is another registry.
func (s *Server) inProcess(t TB, method string) {
	t.Helper()
	if s.env == "" {
		return
	}
	const format = "registrytest: %s needs a registry of this process, but %s has the address of another"
	if t, ok := t.(interface {
		Skipf(format string, args ...any)
	}); ok {
		t.Skipf(format, method, s.env)
	}
	t.Fatalf(format, method, s.env)
}

// uniqueName returns a new name of a repository that includes the name of the
// test.
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
		return nil, &url.Error{Op: "parse", URL: u.Redacted(), Err: errors.New("want an address with http or https and a host")}
	}
	return u, nil
}
