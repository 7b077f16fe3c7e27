package upstream

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/remote"
)

// tokenPath is the path of token requests, which a Proxy passes on to token
// services.
const tokenPath = "/token"

// realmParam is the query parameter that selects a token service by its number.
// Without the parameter, the number is 0.
const realmParam = "realm"

// maxRealms is the number of token services that a Proxy remembers.
const maxRealms = 16

// realms are the token services in the upstream's challenges, in order of their
// numbers.
type realms struct {
	mu  sync.Mutex // guards all
	all []*url.URL
}

// add returns the number of the token service at the URL realm. It stores the URL if
// it is new, and returns false if there are too many.
func (rs *realms) add(realm *url.URL) (int, bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for i, u := range rs.all {
		if *u == *realm {
			return i, true
		}
	}
	if len(rs.all) == maxRealms {
		return 0, false
	}
	rs.all = append(rs.all, realm)
	return len(rs.all) - 1, true
}

func (rs *realms) get(i int) *url.URL {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if i < 0 || i >= len(rs.all) {
		return nil
	}
	return rs.all[i]
}

// realm returns a URL at the Proxy that replaces the realm of a challenge. It
// returns the realm itself if the Proxy must not send credentials to it, or cannot
// remember more token services.
func (p *passage) realm(realm string) string {
	u, err := remote.PassRealm(p.proxy.base, realm)
	if err != nil {
		p.request.Note("the realm is passed on as it is: " + err.Error())
		return realm
	}
	i, ok := p.proxy.realms.add(u)
	if !ok {
		p.request.Note("the realm is passed on as it is: the upstream named " + strconv.Itoa(maxRealms) + " others before")
		return realm
	}
	to := p.origin() + p.request.Prefix + tokenPath
	if i > 0 {
		to += "?" + realmParam + "=" + strconv.Itoa(i)
	}
	return to
}

// realmOf returns the URL at which a token service expects the token request r.
// It returns nil if r is not a token request, or its token service is not known.
func (u *Proxy) realmOf(r *registry.Request) *url.URL {
	if r.Op != registry.GetToken || strings.TrimPrefix(r.URL.Path, r.Prefix) != tokenPath {
		return nil
	}
	i, query := 0, r.URL.RawQuery
	if text := r.URL.Query().Get(realmParam); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil
		}
		i, query = n, withoutParam(query, realmParam)
	}
	realm := u.realms.get(i)
	if realm == nil {
		return nil
	}
	to := *realm
	to.RawQuery = strings.Trim(to.RawQuery+"&"+query, "&")
	return &to
}

// withoutParam removes a parameter from a query. It keeps the order and escapes
// of the rest.
func withoutParam(query, name string) string {
	var kept []string
	for _, pair := range strings.Split(query, "&") {
		if pair != name && !strings.HasPrefix(pair, name+"=") {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// eachRealm replaces the realm of each Bearer challenge in the header field
// WWW-Authenticate (RFC 9110, section 11.6.1; RFC 6750, section 3).
func eachRealm(challenges string, replace func(string) string) string {
	var b strings.Builder
	bearer, done := false, 0
	for i := 0; i < len(challenges); {
		name := token(challenges[i:])
		if name == "" {
			i++
			continue
		}
		i += len(name)
		at := i + len(challenges[i:]) - len(strings.TrimLeft(challenges[i:], " \t"))
		if at == len(challenges) || challenges[at] != '=' {
			bearer = strings.EqualFold(name, "Bearer")
			continue
		}
		at++
		at += len(challenges[at:]) - len(strings.TrimLeft(challenges[at:], " \t"))
		value, n, err := authValue(challenges[at:])
		if err != nil {
			break // The rest is malformed and stays the same.
		}
		if bearer && strings.EqualFold(name, "realm") {
			if to := replace(value); to != value {
				b.WriteString(challenges[done:at] + quote(to))
				done = at + n
			}
		}
		i = at + n
	}
	b.WriteString(challenges[done:])
	return b.String()
}

// token returns the token (RFC 9110, section 5.6.2) at the beginning of text.
func token(text string) string {
	i := strings.IndexFunc(text, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", c)
	})
	if i < 0 {
		i = len(text)
	}
	return text[:i]
}

// authValue returns the value of a parameter at the beginning of text, without
// quotes, and the length of its encoded form.
func authValue(text string) (value string, n int, err error) {
	if !strings.HasPrefix(text, `"`) {
		value = token(text)
		return value, len(value), nil
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), i + 1, nil
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, errors.New("a quoted string without an end")
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
