package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/internal/remote"
)

// A source is an upstream registry, whose content a [Store] fetches.
type source struct {
	name  string // name in references, such as "docker.io"
	login func(context.Context) (remote.Login, error)
	next  http.RoundTripper
	own   *http.Transport // next, if the caller supplied no transport
	store *remote.Store
	err   error
}

// A RemoteOption configures the registry of [Remote].
type RemoteOption func(*remoteOptions)

type remoteOptions struct {
	*source
	address string
}

// Remote makes the registry with the name an upstream of the Store. The name is a
// host with an optional port, such as "docker.io" or "127.0.0.1:5000". The Store
// sends requests over HTTPS, or over HTTP if the host is this machine, and through
// the proxies of the environment ([http.ProxyFromEnvironment]).
//
// Without options, requests are anonymous. If the registry requires a token, the
// Store requests one from the token service that the challenge names, even for
// anonymous requests. The token service must use https unless the registry uses
// http. It must not have a private, loopback or link-local address, unless it
// has the host and port of the registry, or the registry is in a private network
// itself. The Store sends credentials only to these two hosts, and not to the
// target of a redirect, a Location or a Link. It does not pass on the
// credentials of its own clients.
func Remote(name string, opts ...RemoteOption) StoreOption {
	r := &source{name: canonicalName(name)}
	set := remoteOptions{source: r}
	for _, o := range opts {
		if o == nil {
			r.err = fmt.Errorf("upstream %q: %w", r.name, errNilOption)
		} else {
			o(&set)
		}
	}
	if err := r.open(set.address); err != nil && r.err == nil {
		r.err = fmt.Errorf("upstream %q: %w", r.name, err)
	}
	return r
}

// At sets the base URL of the registry, such as "http://mirror.example:5000". By
// default, the URL follows from the name.
func At(address string) RemoteOption {
	return func(o *remoteOptions) { o.address = address }
}

// User authenticates to the registry with a name and a password.
func User(name, password string) RemoteOption {
	return func(o *remoteOptions) {
		o.login = func(context.Context) (remote.Login, error) {
			return remote.Login{Username: name, Password: password}, nil
		}
	}
}

// DockerConfig authenticates to the registry with the credentials that
// docker login stored for its name. They are in the file config.json in dir,
// or in the credential helper or store that the file names, and may be identity
// tokens. If dir is empty, it is the value of the environment variable
// DOCKER_CONFIG, or else ~/.docker. A helper runs when the registry asks for
// credentials, for at most 30 seconds.
func DockerConfig(dir string) RemoteOption {
	return func(o *remoteOptions) {
		o.login = func(ctx context.Context) (remote.Login, error) { return remote.DockerLogin(ctx, dir, o.name) }
	}
}

// RoundTripper makes the Store send its requests to the registry with t. The
// RoundTripper t should not decompress responses by itself.
func RoundTripper(t http.RoundTripper) RemoteOption {
	return func(o *remoteOptions) {
		if o.next = t; t == nil {
			o.err = errors.New("the argument of RoundTripper is nil; leave the option out")
		}
	}
}

// canonicalName returns the name of a registry, or "docker.io" for all names of
// Docker Hub.
func canonicalName(name string) string {
	name = strings.ToLower(name)
	if remote.Hub(name) {
		return "docker.io"
	}
	return name
}

// headerTime limits the time until an upstream sends the header of a
// response.
const headerTime = time.Minute

// open creates the client for the registry at the address. If address is "", the
// address follows from the name.
func (r *source) open(address string) error {
	if address == "" {
		address = "https://" + r.name
		if remote.Hub(r.name) {
			address = "https://registry-1.docker.io"
		} else if u, err := url.Parse(address); err == nil && names.Loopback(u.Hostname()) {
			address = "http://" + r.name
		}
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("the address is not a URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("the address is %q; want http or https and a host", u.Redacted())
	case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("the address is %q; want a host without a path and without a user", u.Redacted())
	case r.name == "" || strings.ContainsAny(r.name, "/@ ?#"):
		return errors.New("the name is not that of a host, such as docker.io or 127.0.0.1:5000")
	}
	if r.next == nil {
		r.own = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			ForceAttemptHTTP2:     true,
			DisableCompression:    true,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: headerTime,
			ExpectContinueTimeout: time.Second,
			IdleConnTimeout:       90 * time.Second,
			MaxIdleConnsPerHost:   16,
		}
		r.next = r.own
	}
	base := &url.URL{Scheme: u.Scheme, Host: u.Host}
	transport := &remote.Transport{Registry: base, Next: r.next, Login: r.login}
	r.store = &remote.Store{Base: base.String(), Client: &http.Client{Transport: transport}}
	return nil
}

// close closes idle connections, unless the caller supplied the transport.
func (r *source) close() {
	if r.own != nil {
		r.own.CloseIdleConnections()
	}
}
