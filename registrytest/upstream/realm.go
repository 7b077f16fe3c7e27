package upstream

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// checkRealm returns the URL of the token service that a challenge of the
// registry names. It returns an error if the URL is not one to which credentials
// may go: the scheme must be https, unless that of the registry is http, and the
// host must not be a private, loopback or link-local address, unless the
// registry has the same scheme, host and port.
//
// A host that is a name may still lead to such an address: a client that sends
// credentials of its own checks the address that it connects to as well, with
// [internalAddress].
func checkRealm(registry *url.URL, realm string) (*url.URL, error) {
	u, err := url.Parse(realm)
	if err != nil {
		return nil, fmt.Errorf("the realm is not a URL: %w", err)
	}
	switch {
	case u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("the realm %q is not a URL with http or https and a host", u.Redacted())
	case u.User != nil:
		return nil, fmt.Errorf("the realm %q has a user", u.Redacted())
	case u.Fragment != "":
		return nil, fmt.Errorf("the realm %q has a fragment", u.Redacted())
	case origin(u) == origin(registry):
		return u, nil
	case u.Scheme != "https" && registry.Scheme == "https":
		return nil, fmt.Errorf("the realm %q is not https", u.Redacted())
	}
	name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if ip, err := netip.ParseAddr(name); name == "localhost" || strings.HasSuffix(name, ".localhost") || err == nil && internalAddress(ip) {
		return nil, fmt.Errorf("the realm %q is at an address of this machine or its network", u.Redacted())
	}
	return u, nil
}

// internalAddress reports whether the address is not one of the internet: a
// private, loopback, link-local or unspecified one, or one for many hosts.
func internalAddress(ip netip.Addr) bool {
	ip = ip.Unmap()
	return !ip.IsGlobalUnicast() || ip.IsPrivate()
}

// origin returns the scheme, host and port of a URL, as in
// "https://registry.example.com:443".
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), port)
}
