// Package external runs tests against a registry that runs elsewhere, if an
// environment variable has its address, and otherwise against a registry in the
// test's own process:
//
//	reg := external.NewServer(t, "TEST_REGISTRY")
package external

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/ocireg/registry/internal/clientfile"
	"github.com/ocireg/registry/internal/hint"
	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/internal/remote"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
)

// A Server is a registry for one test. It has the methods of
// [registrytest.Server] that work with every registry. Methods that need a
// registry in the test's own process, such as Fault and Restart, are those of
// [Server.InProcess].
type Server struct {
	// URL is the base URL of the registry, such as
	// "https://registry.example.com".
	URL string

	// State has methods to read and change the content of the registry. If the
	// registry runs elsewhere, they send requests to it.
	content.State

	t         registrytest.TB
	env       string
	prefix    string // prefix of the names of all repositories
	transport *http.Transport
	client    *http.Client
	inProcess *registrytest.Server // nil if the registry runs elsewhere
}

// NewServer returns a registry for the test. If the environment variable env is
// empty, NewServer starts one in this process, like [registrytest.NewServer].
// Otherwise the value of the variable is the address of another registry, such
// as "localhost:5000", "https://user:password@registry.example.com" or
// "ghcr.io/me/test". The names of the test's repositories begin with the path
// in the address. If the address has no scheme, the Server uses HTTP for
// localhost and loopback addresses, and HTTPS for all others. The test fails if
// the address is invalid.
//
// In the other registry, the names of a Server's repositories begin with a new
// prefix; see [Server.Ref]. The Server does not delete their content. Push and
// the other methods of [content.State] send the user and password of the
// address as Basic credentials. If the registry requires a token, they use the
// user and password to request one from its token service.
func NewServer(t registrytest.TB, env string) *Server {
	hint.NilTest("external", "NewServer", t)
	t.Helper()
	address := os.Getenv(env)
	if address == "" {
		s := registrytest.NewServer(t)
		return &Server{t: t, URL: s.URL, State: s.State, transport: s.Transport(), client: s.Client(), inProcess: s}
	}
	u, err := parse(address)
	if err != nil {
		t.Fatalf("external: the address in %s: %v", env, err)
	}
	s := &Server{
		t:         t,
		URL:       u.Scheme + "://" + u.Host,
		env:       env,
		prefix:    strings.TrimPrefix(u.Path+"/", "/") + uniqueName(t.Name()) + "/",
		transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true},
	}
	s.client = &http.Client{Transport: s.transport}
	t.Cleanup(s.transport.CloseIdleConnections)
	auth := &remote.Transport{Registry: &url.URL{Scheme: u.Scheme, Host: u.Host}, Next: s.transport}
	if password, ok := u.User.Password(); ok {
		auth.Eager = true
		auth.Login = func(context.Context) (remote.Login, error) {
			return remote.Login{Username: u.User.Username(), Password: password}, nil
		}
	}
	s.Store = &remote.Store{Base: s.URL, Prefix: s.prefix, Client: &http.Client{Transport: auth}}
	return s
}

// Host returns the host and port of the registry, such as "127.0.0.1:43121".
func (s *Server) Host() string {
	_, host, _ := strings.Cut(s.URL, "://")
	return host
}

// Ref returns the reference with which a client names content of the server. For
// example, for "team/app:v1" it may return
// "ghcr.io/me/test/mytest-x2k4p7qa/team/app:v1".
func (s *Server) Ref(name string) string { return s.Host() + "/" + s.prefix + name }

// Client returns an HTTP client for the registry, without credentials, whose
// transport is [Server.Transport]. Every call returns the same client.
func (s *Server) Client() *http.Client { return s.client }

// Transport returns the transport of [Server.Client]. Clone it before you change
// it.
func (s *Server) Transport() *http.Transport { return s.transport }

// RegistriesConf writes a registries.conf and returns its path, like
// [registrytest.Server.RegistriesConf].
func (s *Server) RegistriesConf(insteadOf ...string) string {
	s.t.Helper()
	return s.write("registries.conf", clientfile.RegistriesConf(s.URL, insteadOf...))
}

// DaemonJSON writes a daemon.json and returns its path, like
// [registrytest.Server.DaemonJSON].
func (s *Server) DaemonJSON(mirrorOf ...string) string {
	s.t.Helper()
	text, err := clientfile.DaemonJSON(s.URL, mirrorOf...)
	if err != nil {
		s.t.Fatalf("external: %v", err)
	}
	return s.write("daemon.json", text)
}

// write writes a file in a new temporary directory, and returns its path.
func (s *Server) write(name, text string) string {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		s.t.Fatalf("external: %v", err)
	}
	return file
}

// InProcess returns the server in this process, for the part of a test that
// needs its methods. If the registry runs elsewhere, InProcess skips the test,
// or fails it if t has no method Skipf.
func (s *Server) InProcess(t registrytest.TB) *registrytest.Server {
	hint.NilTest("external", "Server.InProcess", t)
	t.Helper()
	if s.inProcess == nil {
		const format = "external: the test needs a registry in this process, but %s has the address of another"
		if t, ok := t.(interface {
			Skipf(format string, args ...any)
		}); ok {
			t.Skipf(format, s.env)
		}
		t.Fatalf(format, s.env)
	}
	return s.inProcess
}

// uniqueName returns a new component of repository names that includes the name
// of the test.
func uniqueName(test string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		}
		return '-'
	}, test)
	name = strings.Trim(name[:min(len(name), 40)], "-")
	return strings.TrimPrefix(name+"-"+strings.ToLower(rand.Text()[:8]), "-")
}

// parse parses the address of a registry, and adds a scheme if it has none.
func parse(address string) (*url.URL, error) {
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
