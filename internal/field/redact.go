package field

import (
	"net/http"
	"net/url"
	"strings"
)

// redacted is the text in place of a secret.
const redacted = "redacted"

// Secret reports whether the value of a header field or query parameter with
// the name is a secret.
func Secret(name string) bool {
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

// Redact replaces the secrets in h and returns h.
func Redact(h http.Header) http.Header {
	for name, values := range h {
		for i, v := range values {
			switch {
			case Secret(name):
				values[i] = credentials(name, v)
			case name == "Location", name == "Content-Location", name == "Link", name == "Referer":
				values[i] = links(v)
			}
		}
	}
	return h
}

// credentials returns the text in place of a secret field. It keeps the scheme of
// an Authorization field, because tests check it.
func credentials(name, value string) string {
	scheme, _, ok := strings.Cut(value, " ")
	if ok && strings.HasSuffix(name, "Authorization") {
		return scheme + " " + redacted
	}
	return redacted
}

// RedactURL returns a copy of u without its secrets.
func RedactURL(u url.URL) *url.URL {
	u.RawQuery = query(u.RawQuery)
	if _, ok := u.User.Password(); ok {
		u.User = url.UserPassword(u.User.Username(), redacted)
	}
	return &u
}

// query returns a query string with the values of secret parameters redacted.
func query(q string) string {
	if q == "" {
		return ""
	}
	var b strings.Builder
	for _, p := range strings.Split(q, "&") {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		key, _, _ := strings.Cut(p, "=")
		name, err := url.QueryUnescape(key)
		if err != nil {
			name = key
		}
		if Secret(name) {
			p = key + "=" + redacted
		}
		b.WriteString(p)
	}
	return b.String()
}

// links returns the value of a field that contains URLs, with their secrets redacted.
func links(s string) string {
	before, rest, ok := strings.Cut(s, "?")
	before = passwords(before)
	if !ok {
		return before
	}
	end := strings.IndexAny(rest, `#> ",;`)
	if end < 0 {
		end = len(rest)
	}
	return before + "?" + query(rest[:end]) + links(rest[end:])
}

// passwords returns text that contains URLs, with the passwords in them redacted.
func passwords(s string) string {
	before, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	end := strings.IndexAny(rest, `/#> ",;`)
	if end < 0 {
		end = len(rest)
	}
	authority := rest[:end]
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		if user, _, ok := strings.Cut(authority[:at], ":"); ok {
			authority = user + ":" + redacted + authority[at:]
		}
	}
	return before + "://" + authority + passwords(rest[end:])
}
