// Package link reads the Link header of a list's page (RFC 8288).
package link

import (
	"fmt"
	"strings"
)

// Next returns the target of the first link with the relation "next" in the
// values of a Link header, as it stands there: it may be relative to the URL of
// the response. Next returns "" if no link has that relation, and an error if a
// value does not have the form of the header.
func Next(values []string) (target string, err error) {
	for _, value := range values {
		s := &scanner{rest: value}
		for s.skip(", \t"); s.rest != ""; s.skip(", \t") {
			link, isNext, ok := s.link()
			if !ok {
				return "", fmt.Errorf("malformed Link header %q at %q", value, s.rest)
			}
			if isNext && target == "" {
				target = link
			}
		}
	}
	return target, nil
}

// A scanner reads a value from left to right.
type scanner struct{ rest string }

// link reads <target>; name=value; name="value"; name.
func (s *scanner) link() (target string, isNext, ok bool) {
	if !s.take('<') {
		return "", false, false
	}
	target, s.rest, ok = strings.Cut(s.rest, ">")
	if !ok {
		return "", false, false
	}
	// Only the first rel of a link counts (RFC 8288, section 3.3).
	for hasRel := false; ; {
		s.skip(" \t")
		if !s.take(';') {
			return target, isNext, s.rest == "" || s.rest[0] == ','
		}
		s.skip("; \t")
		if s.rest == "" || s.rest[0] == ',' {
			continue
		}
		name, value, ok := s.parameter()
		if !ok {
			return "", false, false
		}
		if strings.EqualFold(name, "rel") && !hasRel {
			hasRel = true
			for relation := range strings.FieldsSeq(value) {
				isNext = isNext || strings.EqualFold(relation, "next")
			}
		}
	}
}

// parameter reads name, name=token or name="quoted".
func (s *scanner) parameter() (name, value string, ok bool) {
	if name = s.token(); name == "" {
		return "", "", false
	}
	s.skip(" \t")
	if !s.take('=') {
		return name, "", true
	}
	s.skip(" \t")
	if !s.take('"') {
		value = s.token()
		return name, value, value != ""
	}
	var b strings.Builder
	for i := 0; i < len(s.rest); i++ {
		switch s.rest[i] {
		case '"':
			s.rest = s.rest[i+1:]
			return name, b.String(), true
		case '\\':
			if i++; i == len(s.rest) {
				return "", "", false
			}
		}
		b.WriteByte(s.rest[i])
	}
	return "", "", false
}

// token reads everything before a delimiter. Servers write more in a parameter
// without quotes than RFC 9110 lets into a token, such as a slash.
func (s *scanner) token() (token string) {
	end := strings.IndexAny(s.rest, "=;,\"<> \t")
	if end < 0 {
		end = len(s.rest)
	}
	token, s.rest = s.rest[:end], s.rest[end:]
	return token
}

func (s *scanner) skip(any string) { s.rest = strings.TrimLeft(s.rest, any) }

func (s *scanner) take(c byte) bool {
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}
