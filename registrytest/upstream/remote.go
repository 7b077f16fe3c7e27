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

// A Registry is an upstream registry, whose content a [Store] fetches. It is an
// option of [Open].
type Registry struct {
	name  string // as in references, such as "docker.io"
	login func(context.Context) (remote.Login, error)
	next  http.RoundTripper
	own   *http.Transport // next, if Remote made it
	store *remote.Store
	err   error
}

// A RemoteOption configures a [Registry].
type RemoteOption func(*remoteOptions)

type remoteOptions struct {
	*Registry
	address string
}

// Remote returns the registry with the name, a host with a port if it has one,
// such as "docker.io" or "127.0.0.1:5000". It is reached over HTTPS, or over HTTP
// if the host is this machine. The proxies of the environment are used
// ([http.ProxyFromEnvironment]).
//
// Without options, requests are anonymous. If the registry asks for a token,
// the Store asks the token service that the challenge names, also for anonymous
// tokens. The service must use https unless the registry uses http. It must not
// be at a private, loopback or link-local address, unless that is the host and
// port of the registry, or the registry is in a private network itself.
// Credentials go only to these two hosts, and not to the target of a redirect,
// a Location or a Link. The credentials of a client of the Store are not passed
// on.
func Remote(name string, opts ...RemoteOption) *Registry {
	r := &Registry{name: canonicalName(name)}
	set := remoteOptions{Registry: r}
	for _, o := range opts {
		o(&set)
	}
	if err := r.open(set.address); err != nil && r.err == nil {
		r.err = fmt.Errorf("upstream %q: %w", r.name, err)
	}
	return r
}

// At sets the base URL of the registry, such as "http://mirror.example:5000",
// if it does not follow from the name.
func At(address string) RemoteOption {
	return func(o *remoteOptions) { o.address = address }
}

// WithUser sends a name and a password with the requests.
func WithUser(name, password string) RemoteOption {
	return func(o *remoteOptions) {
		o.login = func(context.Context) (remote.Login, error) {
			return remote.Login{Username: name, Password: password}, nil
		}
	}
}

// WithDockerConfig sends the credentials that docker login has stored for the
// name of the registry: in config.json of the directory, or in the credential
// helper or store that config.json names. They may be identity tokens. An empty
// directory means the one that the environment variable DOCKER_CONFIG names, or
// else ~/.docker. A helper runs when the registry asks for credentials, for at
// most 30 seconds.
func WithDockerConfig(dir string) RemoteOption {
	return func(o *remoteOptions) {
		o.login = func(ctx context.Context) (remote.Login, error) { return remote.DockerLogin(ctx, dir, o.name) }
	}
}

// WithTransport makes requests with the transport instead of one of Remote's own.
// It should not decompress responses by itself.
func WithTransport(t http.RoundTripper) RemoteOption {
	return func(o *remoteOptions) {
		if o.next = t; t == nil {
			o.err = errors.New("the argument of WithTransport is nil; leave the option out")
		}
	}
}

// canonicalName returns the same name for all aliases of a registry.
func canonicalName(name string) string {
	name = strings.ToLower(name)
	if remote.Hub(name) {
		return "docker.io"
	}
	return name
}

// headerTime is the time after which an upstream that has sent no header of a
// response has failed.
const headerTime = time.Minute

// open makes the client of the registry at the address, or at that of its name.
func (r *Registry) open(address string) error {
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

// close closes the idle connections, unless the caller supplied the transport.
func (r *Registry) close() {
	if r.own != nil {
		r.own.CloseIdleConnections()
	}
}
