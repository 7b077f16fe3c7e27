package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/upstream"
)

// upstreamFlags holds the flags for an upstream that gets every request,
// without a recording.
type upstreamFlags struct {
	url    string // the URL of the registry, or "" if there is none
	caFile string
}

func (u *upstreamFlags) add(fs *flag.FlagSet) {
	fs.StringVar(&u.caFile, "upstream-ca", "", "trust the certificate authorities in `FILE`, in PEM, for -upstream")
}

// check takes the URL from -upstream if the command is not to record. It returns
// an error if a flag lacks another one that it needs, or if flags contradict each
// other.
func (u *upstreamFlags) check(s *settings) error {
	r := &s.record
	if r.dir == "" && !r.offline && len(r.upstreams) == 1 {
		if v := r.upstreams[0]; strings.HasPrefix(v, "http://") || strings.HasPrefix(v, "https://") {
			u.url, r.upstreams = v, nil
		}
	}
	switch {
	case u.url == "" && len(r.upstreams) == 0 && u.caFile != "":
		return errors.New("-upstream-ca needs -upstream")
	case u.url != "" && s.dir != "":
		return errors.New("-upstream passes requests on, and DIR has no effect; leave one out, or give the directory to -record")
	}
	return nil
}

// transport returns the transport for requests to upstreams. It also trusts the
// certificate authorities in the file of -upstream-ca. If the flag is not set,
// transport returns nil.
func (u *upstreamFlags) transport() (*http.Transport, error) {
	if u.caFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(u.caFile)
	if err != nil {
		return nil, fmt.Errorf("-upstream-ca: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("-upstream-ca: %s contains no PEM certificate", u.caFile)
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: pool},
		ForceAttemptHTTP2: true, DisableCompression: true,
	}, nil
}

// open returns a store that passes every request on to the registry at the URL.
func (u *upstreamFlags) open() (store registry.Store, close func() error, err error) {
	var opts []upstream.ProxyOption
	transport, err := u.transport()
	if err != nil {
		return nil, nil, err
	}
	if transport != nil {
		opts = append(opts, upstream.Transport(transport))
	}
	proxy := upstream.NewProxy(u.url, opts...)
	if err := proxy.Err(); err != nil {
		return nil, nil, fmt.Errorf("-upstream: %w", err)
	}
	return proxy, proxy.Close, nil
}

// String describes the upstream for the banner.
func (u *upstreamFlags) String() string {
	at, err := url.Parse(u.url)
	if err != nil {
		return "a registry behind it"
	}
	at.User = nil
	return "the responses of " + at.String()
}
