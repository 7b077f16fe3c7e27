// Package field reads and checks the values of header fields, and hides secrets
// in headers and URLs.
package field

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// StateParam is the query parameter that package lint adds to the URLs in Location and
// Link, to check that clients send it back. Records of package journal leave it out.
const StateParam = "_state"

// RetryAfter returns the time in the value s of a Retry-After field (RFC 9110,
// section 10.2.3): a date, or a number of seconds after the end of the response.
func RetryAfter(s string, end time.Time) (until time.Time, ok bool) {
	if seconds, err := strconv.Atoi(s); err == nil {
		return end.Add(time.Duration(seconds) * time.Second), true
	}
	until, err := http.ParseTime(s)
	return until, err == nil
}

// ChunkRange reads a range of the form <first>-<last>, without a unit and
// without a total. The distribution spec gives this form to the Content-Range
// of a chunk and to the Range of a response about an upload. Last may be less
// than first. It may also be math.MaxInt64, so last-first+1 can overflow.
func ChunkRange(s string) (first, last int64, ok bool) {
	a, b, ok := strings.Cut(s, "-")
	if !ok {
		return 0, 0, false
	}
	// Unlike ParseInt, ParseUint accepts no sign.
	from, err1 := strconv.ParseUint(a, 10, 63)
	to, err2 := strconv.ParseUint(b, 10, 63)
	return int64(from), int64(to), err1 == nil && err2 == nil
}

// NextLink returns the target of the first link with the relation type next in
// the Link fields of a header (RFC 8288, section 3), or "" if no link has it.
// It returns an error if a field does not have the form of RFC 8288, or a link
// has no relation type.
func NextLink(h http.Header) (target string, err error) {
	for _, value := range h["Link"] {
		for rest := value; ; {
			to, relations, after, ok := cutLink(rest)
			switch {
			case !ok:
				return "", fmt.Errorf("the field Link is %q, without a URL in < >", value)
			case len(relations) == 0:
				return "", fmt.Errorf("the field Link is %q, without rel", value)
			case target == "" && slices.ContainsFunc(relations, func(s string) bool { return strings.EqualFold(s, "next") }):
				target = to
			}
			if after == "" {
				break
			}
			rest = after
		}
	}
	return target, nil
}

// cutLink parses the first link in s. It returns the target, the relation types,
// and the rest of s after the link.
func cutLink(s string) (target string, relations []string, after string, ok bool) {
	s, ok = strings.CutPrefix(strings.TrimLeft(s, " \t"), "<")
	if !ok {
		return "", nil, "", false
	}
	target, s, ok = strings.Cut(s, ">")
	for ok {
		s = strings.TrimLeft(s, " \t")
		if s, ok = strings.CutPrefix(s, ";"); !ok {
			break
		}
		var name, value string
		name, value, s = cutParameter(s)
		// Only the first rel counts (RFC 8288, section 3.3).
		if strings.EqualFold(name, "rel") && relations == nil {
			relations = strings.Fields(value)
		}
	}
	s, more := strings.CutPrefix(s, ",")
	return target, relations, s, s == "" || more
}

// cutParameter parses the first parameter in s and returns the rest of s. If s is
// well-formed, the rest is empty or begins with a semicolon or a comma.
func cutParameter(s string) (name, value, after string) {
	end := strings.IndexAny(s, `=;,`)
	if end < 0 || s[end] != '=' {
		if end < 0 {
			end = len(s)
		}
		return strings.TrimSpace(s[:end]), "", s[end:]
	}
	name, s = strings.TrimSpace(s[:end]), strings.TrimLeft(s[end+1:], " \t")
	if !strings.HasPrefix(s, `"`) {
		end = strings.IndexAny(s, ";,")
		if end < 0 {
			end = len(s)
		}
		return name, strings.TrimSpace(s[:end]), s[end:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return name, b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return name, b.String(), ""
}
