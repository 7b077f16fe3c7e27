package upstream

import (
	"net/url"
	"strings"

	"github.com/ocireg/registry/internal/remote"
)

// reachable returns the URL that the client gets in place of a URL in an upstream's
// response. A URL below the upstream's base URL becomes a URL at the Proxy. Any other
// URL keeps its target, and becomes absolute if the client would resolve it to
// another target.
func (p *passage) reachable(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.User != nil || u.Opaque != "" {
		return to
	}
	base, home := p.proxy.base, remote.Origin(p.target) == remote.Origin(p.proxy.base)
	if u.Host == "" && u.Scheme == "" {
		switch {
		case !home:
			return p.target.ResolveReference(u).String()
		case !strings.HasPrefix(to, "/"):
			return to // A relative path works for the client as well.
		}
		if rest, ok := p.below(to); ok {
			return p.request.Prefix + rest
		}
		return base.Scheme + "://" + base.Host + to
	}
	if absolute := p.target.ResolveReference(u); remote.Origin(absolute) != remote.Origin(base) {
		if u.Scheme == "" && !strings.HasPrefix(p.origin(), absolute.Scheme+":") {
			return absolute.String() // The client would add its own scheme.
		}
		return to
	}
	_, rest, _ := strings.Cut(to, "//")
	i := strings.IndexAny(rest, "/?#")
	if i < 0 {
		i = len(rest)
	}
	if rest, ok := p.below(rest[i:]); ok {
		return p.origin() + p.request.Prefix + rest
	}
	return to
}

// below returns the rest of a path after the base path of the upstream, and
// whether the path is below it.
func (p *passage) below(path string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, p.proxy.base.EscapedPath())
	return rest, ok && (rest == "" || strings.ContainsAny(rest[:1], "/?#"))
}

// origin returns the scheme, host and port in the URL of the client's request.
func (p *passage) origin() string {
	if p.request.TLS != nil {
		return "https://" + p.request.Host
	}
	return "http://" + p.request.Host
}

// eachLink replaces the targets in the header field Link (RFC 8288, section 3).
func eachLink(link string, replace func(string) string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(link, "<")
		target, after, closed := strings.Cut(rest, ">")
		if !ok || !closed {
			b.WriteString(link)
			return b.String()
		}
		b.WriteString(before + "<" + replace(target) + ">")
		link = after
	}
}
