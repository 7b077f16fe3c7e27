package remote

import "strings"

// A challenge describes how a registry authenticates clients (RFC 9110, section
// 11.6.1).
type challenge struct {
	scheme string            // lower-case
	params map[string]string // values by lower-case name
}

// parseChallenges parses the values of the header field WWW-Authenticate. It
// skips malformed parts.
func parseChallenges(values []string) (all []challenge) {
	for _, s := range values {
		for s = trimList(s); s != ""; s = trimList(s) {
			var word string
			word, s = cutToken(s)
			if word == "" {
				s = s[1:]
				continue
			}
			c := challenge{strings.ToLower(word), make(map[string]string)}
			s = c.readParams(s)
			all = append(all, c)
		}
	}
	return all
}

// readParams stores the parameters at the beginning of s in c, and returns the
// rest of s.
func (c *challenge) readParams(s string) (rest string) {
	for {
		name, after := cutToken(trimList(s))
		after = strings.TrimLeft(after, " \t")
		if name == "" || !strings.HasPrefix(after, "=") {
			return s // The next challenge begins.
		}
		value, after := cutValue(strings.TrimLeft(after[1:], " \t"))
		if name = strings.ToLower(name); c.params[name] == "" {
			c.params[name] = value
		}
		s = after
	}
}

func trimList(s string) string { return strings.TrimLeft(s, " \t,") }

// cutToken returns the token at the beginning of s (RFC 9110, section 5.6.2).
func cutToken(s string) (token, rest string) {
	end := strings.IndexFunc(s, func(c rune) bool {
		return c <= ' ' || c > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:]
}

// cutValue returns the token or quoted string at the beginning of s, and the
// rest. Some registries do not quote URLs, so a token ends only at a comma or
// white space.
func cutValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ", \t")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}
