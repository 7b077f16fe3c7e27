// Package names checks the names of repositories and tags (distribution spec,
// section Pulling manifests) and digests (image-spec, section Digests), matches
// them with patterns, parses references, recognizes hosts, and words the errors
// for content that a store lacks.
package names

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"

	"github.com/opencontainers/go-digest"
)

// MaxLength is the greatest length of a repository's name, in bytes. Many clients
// limit the length of the host and the name together to 255.
const MaxLength = 255

// Repository reports whether s is a <name>:
//
//	[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*
func Repository(s string) bool {
	if s == "" || len(s) > MaxLength {
		return false
	}
	alnum := false // whether the previous byte is a letter or a digit
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

// Component reports whether s is a component of a <name>, which is the text
// between two slashes.
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

// Missing returns the error of a store for a blob, manifest or tag that the
// repository lacks. Kind is "blob", "manifest" or "tag".
func Missing(repo, kind, name string) error {
	return fmt.Errorf("%s %s in repository %s: %w", kind, name, repo, fs.ErrNotExist)
}

// NoRepository returns the error of a store for a repository that the store lacks.
func NoRepository(repo string) error {
	return fmt.Errorf("repository %s: %w", repo, fs.ErrNotExist)
}

// A Reference names a manifest in a registry: <name>[:<tag>][@<digest>]. Tag and
// Digest may be empty.
type Reference struct {
	Repository string
	Tag        string
	Digest     digest.Digest
}

// ParseReference parses a reference without a host; [SplitHost] splits off the host.
func ParseReference(s string) (Reference, error) {
	rest, d, hasDigest := strings.Cut(s, "@")
	repo, tag, hasTag := strings.Cut(rest, ":")
	if hasDigest {
		if _, _, err := Digest(d); err != nil {
			return Reference{}, fmt.Errorf("%q is not a digest: %w", d, err)
		}
	}
	if hasTag && !Tag(tag) {
		return Reference{}, fmt.Errorf("%q is not a tag", tag)
	}
	if !Repository(repo) {
		return Reference{}, fmt.Errorf("%q is not the name of a repository", repo)
	}
	return Reference{repo, tag, digest.Digest(d)}, nil
}

// SplitHost splits the host from a reference such as docker.io/library/alpine:3.
// As in Docker, the first component is a host if it is localhost or contains a
// dot or a colon, but not if it begins with a dot. The host is empty if the first
// component is part of the name.
func SplitHost(s string) (host, rest string) {
	host, rest, ok := strings.Cut(s, "/")
	if ok && (host == "localhost" || strings.ContainsAny(host, ".:") && host[0] != '.') {
		return host, rest
	}
	return "", s
}

// digestLengths are the numbers of hexadecimal digits in digests, by algorithm:
// the registered algorithms and sha384.
var digestLengths = map[string]int{"sha256": 64, "sha384": 96, "sha512": 128, "blake3": 64}

// Algorithms returns the algorithms whose digests have a known length, in any order.
func Algorithms() (all []string) {
	for algorithm := range digestLengths {
		all = append(all, algorithm)
	}
	return all
}

// DigestLength returns the length of the encoded portion of digests of the
// algorithm, or 0 if the algorithm is not known.
func DigestLength(algorithm string) int { return digestLengths[algorithm] }

// Digest splits a digest into its algorithm and its encoded portion. It returns an
// error if s is no digest. It accepts every algorithm of this form, including those
// that this module does not compute:
//
//	algorithm ::= [a-z0-9]+ ([+._-] [a-z0-9]+)*
//	encoded   ::= [a-zA-Z0-9=_-]+
func Digest(s string) (algorithm, encoded string, err error) {
	algorithm, encoded, ok := strings.Cut(s, ":")
	if !ok {
		return "", "", errors.New("it has no colon")
	}
	if want, ok := digestLengths[algorithm]; ok {
		switch {
		case len(encoded) != want:
			return "", "", fmt.Errorf("%s has %d characters, not %d", algorithm, want, len(encoded))
		case !Hex(encoded):
			return "", "", errors.New("it has characters other than 0-9 and a-f")
		}
		return algorithm, encoded, nil
	}
	if !isAlgorithm(algorithm) {
		return "", "", errors.New("its algorithm is malformed")
	}
	if encoded == "" || strings.ContainsFunc(encoded, notEncoded) {
		return "", "", errors.New("the part after the colon is empty, or has characters other than letters, digits, =, _ and -")
	}
	return algorithm, encoded, nil
}

func isAlgorithm(s string) bool {
	alnum := false // whether the previous byte was a letter or a digit
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			alnum = true
			continue
		}
		if !alnum || !strings.ContainsRune("+._-", rune(c)) {
			return false
		}
		alnum = false
	}
	return alnum
}

// notEncoded reports whether c is invalid in the encoded portion of a digest.
func notEncoded(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '=', c == '_', c == '-':
		return false
	}
	return true
}

// Hex reports whether all characters of s are hexadecimal digits in lower case,
// as in the encoded portion of most digests. It returns true for "".
func Hex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || '9' < c) && (c < 'a' || 'f' < c) {
			return false
		}
	}
	return true
}

// Loopback reports whether the host, a name or an IP address without a port,
// means this machine.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}
