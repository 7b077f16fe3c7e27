package registrytest

import (
	"net/http"
	"net/url"
	"strings"
)

const redacted = "redacted"

// secret reports whether what has the name, a header or a query parameter, is
// to be kept secret.
func secret(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "cookie", "set-cookie", "auth", "sig", "key":
		return true
	}
	for _, word := range []string{
		"authoriz", "-auth", "token", "secret", "passw", "signature", "credential", "apikey", "api-key", "api_key",
	} {
		if i := strings.Index(name, word); i >= 0 && !strings.Contains(name, "authenticat") {
			return true
		}
	}
	return false
}

// redactHeader makes the secrets in a header unreadable.
func redactHeader(h http.Header) http.Header {
	for name, values := range h {
		for i, v := range values {
			switch {
			case secret(name):
				values[i] = redactCredentials(name, v)
			case name == "Location", name == "Content-Location", name == "Link", name == "Referer":
				values[i] = redactLinks(v)
			}
		}
	}
	return h
}

// redactCredentials leaves the scheme of an Authorization readable, for it is
// often what a test wants to know.
func redactCredentials(name, value string) string {
	scheme, _, ok := strings.Cut(value, " ")
	if ok && strings.HasSuffix(name, "Authorization") {
		return scheme + " " + redacted
	}
	return redacted
}

// redactURL makes the secrets in a URL unreadable.
func redactURL(u url.URL) *url.URL {
	u.RawQuery = redactQuery(u.RawQuery)
	if _, ok := u.User.Password(); ok {
		u.User = url.UserPassword(u.User.Username(), redacted)
	}
	return &u
}

func redactQuery(query string) string {
	if query == "" {
		return ""
	}
	var b strings.Builder
	for p := range strings.SplitSeq(query, "&") {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		key, _, _ := strings.Cut(p, "=")
		name, err := url.QueryUnescape(key)
		if err != nil {
			name = key
		}
		if secret(name) {
			p = key + "=" + redacted
		}
		b.WriteString(p)
	}
	return b.String()
}

// redactLinks makes the secrets in a header with URLs unreadable.
func redactLinks(s string) string {
	before, rest, ok := strings.Cut(s, "?")
	if !ok {
		return s
	}
	end := strings.IndexAny(rest, `#> ",;`)
	if end < 0 {
		end = len(rest)
	}
	return before + "?" + redactQuery(rest[:end]) + redactLinks(rest[end:])
}
