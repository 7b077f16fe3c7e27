package remote

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/ocireg/registry/internal/names"
)

// Origin returns the scheme, host and port of a URL, as in
// "https://registry.example.com:443".
func Origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), port)
}

// CheckRealm returns the URL of the token service, which is the realm of the
// registry's challenge. It returns an error if a client must not send
// credentials to the URL. The scheme must be https, unless the registry uses
// http. The host must not be one for which [InternalAddress] reports true,
// unless the URL has the same scheme, host and port as the registry.
//
// CheckRealm does not resolve names. A client that sends credentials must also
// check the address that it connects to, with [InternalAddress].
func CheckRealm(registry *url.URL, realm string) (*url.URL, error) {
	u, err := parseRealm(registry, realm)
	if err == nil && Origin(u) != Origin(registry) && internalHost(u.Hostname()) {
		return nil, fmt.Errorf("the realm %q is at an address of this machine or its network", u.Redacted())
	}
	return u, err
}

// PassRealm is like CheckRealm, for a proxy that passes on a client's
// credentials to the token service. If the registry has an address of this
// machine or its network, its token service may have one, too, as in
// [CheckTarget]. The proxy must connect with [PassDialer].
func PassRealm(registry *url.URL, realm string) (*url.URL, error) {
	u, err := parseRealm(registry, realm)
	if err == nil {
		err = CheckTarget(registry, u)
	}
	if err != nil {
		return nil, err
	}
	return u, nil
}

// parseRealm is like CheckRealm, but does not check the host.
func parseRealm(registry *url.URL, realm string) (*url.URL, error) {
	u, err := url.Parse(realm)
	if err != nil {
		// The error would quote the realm, which may contain a password.
		return nil, errors.New("the realm is not a URL")
	}
	switch {
	case u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("the realm %q is not a URL with http or https and a host", u.Redacted())
	case u.User != nil:
		return nil, fmt.Errorf("the realm %q has a user", u.Redacted())
	case u.Fragment != "":
		return nil, fmt.Errorf("the realm %q has a fragment", u.Redacted())
	case u.Scheme != "https" && registry.Scheme == "https":
		return nil, fmt.Errorf("the realm %q is not https", u.Redacted())
	}
	return u, nil
}

// CheckTarget returns an error if a client must not follow a redirect, a
// Location or a realm of the registry to the URL u. It refuses the step from
// https to http. It refuses an address of this machine or its network, unless
// the registry has one, too. Even then it refuses link-local, unspecified and
// multicast addresses, except for the registry's own host: clouds have services
// with credentials at link-local addresses.
func CheckTarget(registry, u *url.URL) error {
	host, home := u.Hostname(), registry.Hostname()
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("the registry points to a URL with the scheme %.20q", u.Scheme)
	case u.Scheme != "https" && registry.Scheme == "https":
		return fmt.Errorf("the registry points from https to %s", Origin(u))
	case internalHost(host) && !internalHost(home):
		return fmt.Errorf("the registry points to %s, an address of this machine or its network", Origin(u))
	case special(host) && !strings.EqualFold(host, home):
		return fmt.Errorf("the registry points to %s, a link-local, unspecified or multicast address", Origin(u))
	}
	return nil
}

// special reports whether the host is an internal address that is neither
// loopback nor private. It also reports true for text that some resolvers read
// as an address, whatever the address: 2852039166 is 169.254.169.254 for them.
func special(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return internalHost(host) && !names.Loopback(host)
	}
	return InternalAddress(ip) && !near(ip)
}

// near reports whether the address is loopback or private.
func near(ip netip.Addr) bool {
	ip = plain(ip)
	return ip.IsLoopback() || ip.IsPrivate()
}

// internalHost reports whether the host is an address for which
// [InternalAddress] reports true, or localhost. It also reports true for text that
// some resolvers read as an address, such as 2130706433 or 0x7f.1.
func internalHost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		return InternalAddress(ip)
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	_, err := strconv.ParseUint(last, 0, 64)
	digits := last != "" && strings.Trim(last, "0123456789") == ""
	ascii := !strings.ContainsFunc(host, func(c rune) bool { return c > '~' || c <= ' ' })
	return host == "" || !ascii || err == nil || digits || names.Loopback(host)
}

// nat64 is the prefix of IPv6 addresses that contain an IPv4 address (RFC 6052,
// section 2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// InternalAddress reports whether the address is private, loopback, link-local,
// unspecified, multicast or broadcast: not a public one.
func InternalAddress(ip netip.Addr) bool {
	ip = plain(ip)
	return !ip.IsGlobalUnicast() || ip.IsPrivate()
}

// plain removes the zone from an address. If the address is an IPv6 address that
// contains an IPv4 address, plain returns the IPv4 address.
func plain(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	if nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	return ip
}
