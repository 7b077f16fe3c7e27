// Package names knows what repositories and tags may be called, and what the
// digests of content are written in (distribution spec, section Pulling
// manifests).
package names

import (
	"net"
	"strings"
)

// MaxLength is the length that the name of a repository may have. The spec
// advises registries to keep to what clients can use.
const MaxLength = 255

// Repository reports whether s is a <name>:
//
//	[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*
func Repository(s string) bool {
	if s == "" || len(s) > MaxLength {
		return false
	}
	alnum := false // whether the byte before was one
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			alnum = true
			continue
		}
		if !alnum {
			return false
		}
		alnum = false
		switch c {
		case '/', '.':
		case '_':
			if i+1 < len(s) && s[i+1] == '_' {
				i++
			}
		case '-':
			for i+1 < len(s) && s[i+1] == '-' {
				i++
			}
		default:
			return false
		}
	}
	return alnum
}

// Component reports whether s can stand between two slashes of a <name>.
func Component(s string) bool {
	return !strings.Contains(s, "/") && Repository(s)
}

// Tag reports whether s is a tag:
//
//	[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
func Tag(s string) bool {
	if s == "" || len(s) > 128 || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		default:
			return false
		}
	}
	return true
}

// Hex reports whether s has no characters but those of hexadecimal numbers, in
// lower case, as digests have them after their algorithm.
func Hex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || '9' < c) && (c < 'a' || 'f' < c) {
			return false
		}
	}
	return true
}

// Loopback reports whether the host, a name or an address without a port, is
// this machine.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}
