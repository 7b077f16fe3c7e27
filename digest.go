package registry

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/names"
)

// digestOf returns the digest of the content by the algorithm.
func digestOf(algorithm digest.Algorithm, content []byte) digest.Digest {
	if algorithm == digest.SHA256 {
		sum := sha256.Sum256(content)
		return newDigest(algorithm, sum[:])
	}
	h := algorithm.Hash()
	h.Write(content)
	return newDigest(algorithm, h.Sum(nil))
}

// newDigest returns the digest with the algorithm and the hash sum.
func newDigest(algorithm digest.Algorithm, sum []byte) digest.Digest {
	text := make([]byte, 0, len("sha512:")+2*sha512.Size)
	text = append(append(text, algorithm...), ':')
	return digest.Digest(hex.AppendEncode(text, sum))
}

// computes reports whether this registry computes digests of the algorithm.
func (h *handler) computes(a digest.Algorithm) bool {
	switch a {
	case digest.SHA256:
		return true
	case digest.SHA384, digest.SHA512:
		return !h.without.has(SHA512)
	}
	return false
}

// notComputed returns the error for a push with a digest of an algorithm that
// the registry does not compute (section Pushing blobs).
func notComputed(a digest.Algorithm) error {
	return Errorf(CodeDigestInvalid, "digest algorithm %q is not supported", a)
}

// parseDigest returns s as a digest, or an error if s does not have the form of
// a digest. It permits any algorithm, because the digest of a subject may have
// an algorithm that the registry does not compute.
func parseDigest(s string) (digest.Digest, error) {
	if _, _, err := names.Digest(s); err != nil {
		return "", Errorf(CodeDigestInvalid, "%q is not a digest: %v", s, err)
	}
	return digest.Digest(s), nil
}
