package fault

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/hint"
	"github.com/ocireg/registry/internal/names"
)

// The functions in this file check patterns. A pattern that can match no request is an
// error.

// checkPatterns refuses the rule if check returns an error for one of the patterns. The
// pattern "", which matches requests without the value, needs no check.
func checkPatterns(r Rule, patterns []string, check func(pattern string) error) Rule {
	for _, p := range patterns {
		if p != "" {
			r = r.refuse(check(p))
		}
	}
	return r
}

func checkRepo(pattern string) error {
	if !names.Possible(pattern, names.Repository) {
		return fmt.Errorf("no repository can have the name %q", pattern)
	}
	return nil
}

func checkTag(pattern string) error {
	if !names.Possible(pattern, names.Tag) {
		return fmt.Errorf("no manifest can have the tag %q", pattern)
	}
	return nil
}

func checkMethod(pattern string) error {
	if strings.ContainsFunc(pattern, unicode.IsLower) {
		return errors.New("write the method in capital letters")
	}
	return nil
}

// otherAlgorithms are digest algorithms that the image-spec does not register. A name
// that is closer to one of these than to a registered algorithm gets no suggestion.
var otherAlgorithms = []string{"sha1", "sha224", "blake2b", "blake2s"}

// unregistered are further algorithms that the image-spec does not register. Their names
// look like misspelled registered ones, but are valid in a digest.
var unregistered = []string{"sha2-256", "sha2-512", "sha3-256", "sha3-384", "sha3-512", "shake256", "sha256d"}

func checkDigest(pattern string) error {
	algorithm, encoded, colon := strings.Cut(pattern, ":")
	wild := strings.ContainsAny(pattern, "*?")
	if colon && !strings.ContainsAny(algorithm, "*?") && !slices.Contains(unregistered, algorithm) {
		known := names.Algorithms()
		nearest := hint.Nearest(algorithm, append(names.Algorithms(), otherAlgorithms...)...)
		switch {
		case nearest != algorithm && slices.Contains(known, nearest):
			return fmt.Errorf("no algorithm of digests is called %q; did you mean %q?", algorithm, nearest)
		case wild && slices.Contains(known, algorithm):
			return checkEncoded(algorithm, encoded)
		}
	}
	example := pattern
	switch {
	case wild && colon:
		example = names.Fill(pattern, "a")
	case wild && !strings.Contains(pattern, "*"):
		return fmt.Errorf("a digest begins with its algorithm, such as sha256:%s", pattern)
	case wild:
		example = names.Fill(strings.Replace(pattern, "*", "a:a", 1), "a")
	}
	err := digest.Digest(example).Validate()
	if err == digest.ErrDigestUnsupported {
		_, _, err = names.Digest(example)
	}
	if err != nil {
		return fmt.Errorf("%q is not a digest: %w", pattern, err)
	}
	return nil
}

// checkEncoded returns an error if no digest of the algorithm has an encoded part that
// the pattern matches.
func checkEncoded(algorithm, pattern string) error {
	literal := strings.ReplaceAll(pattern, "*", "")
	for _, c := range literal {
		if c != '?' && !names.Hex(string(c)) {
			return fmt.Errorf("no digest has the character %q", c)
		}
	}
	if want := names.DigestLength(algorithm); len(literal) > want || len(literal) < want && literal == pattern {
		return fmt.Errorf("a digest of %s has %d characters after the colon, not %d", algorithm, want, len(literal))
	}
	return nil
}
