// Package external runs tests against a registry that runs elsewhere.
//
//	reg := registrytest.NewServer(t, external.FromEnv("TEST_REGISTRY"))
package external

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/elsewhere"
	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/internal/remote"
)

// A Variable is an environment variable with the address of a registry. It is
// an option of package registrytest, see [FromEnv].
type Variable struct{ env string }

// FromEnv makes the test run against another registry if the environment
// variable holds the address of one, such as "localhost:5000",
// "https://user:password@registry.example.com" or "ghcr.io/me/test". The path
// is the place of the test's repositories. Without a scheme the server uses
// HTTP for localhost and loopback addresses, and HTTPS for all others. If the
// variable is empty, the option changes nothing.
//
// Each server is a part of that registry, empty at first, which the server's
// method Ref names. The test's content stays there. Push and the other methods
// of the server's State send requests, with the user and password of the
// address as Basic credentials or, if the registry asks for a token, with one
// that its token service gives for these.
//
// All other options, and methods such as Restart and Requests, need a registry
// of this process: they skip the test.
func FromEnv(env string) Variable { return Variable{env} }

// Options returns no options: the handler is not of this process.
func (Variable) Options() []registry.Option { return nil }

// Exclusive returns "registry": a test runs against one.
func (Variable) Exclusive() string { return "registry" }

// External returns a new part of the registry for the test with the name, or
// nil if the variable is empty. It is for package registrytest.
func (v Variable) External(test string) (*elsewhere.Registry, error) {
	address := os.Getenv(v.env)
	if address == "" {
		return nil, nil
	}
	u, err := parse(address)
	if err != nil {
		return nil, fmt.Errorf("the address in %s: %w", v.env, err)
	}
	r := &elsewhere.Registry{
		Env:       v.env,
		URL:       u.Scheme + "://" + u.Host,
		Prefix:    strings.TrimPrefix(u.Path+"/", "/") + uniqueName(test) + "/",
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true},
	}
	auth := &remote.Transport{Registry: &url.URL{Scheme: u.Scheme, Host: u.Host}, Next: r.Transport}
	if password, ok := u.User.Password(); ok {
		auth.Eager = true
		auth.Login = func(context.Context) (remote.Login, error) {
			return remote.Login{Username: u.User.Username(), Password: password}, nil
		}
	}
	r.Store = &remote.Store{Base: r.URL, Prefix: r.Prefix, Client: &http.Client{Transport: auth}}
	return r, nil
}

// uniqueName returns a new name of a repository that includes the name of the
// test.
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

// parse reads an address.
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
