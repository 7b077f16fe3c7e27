package layout

import (
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/names"
)

// Annotations that name the entries of an index.json.
const (
	// refNameAnnotation is the one of the image spec, section Pre-Defined
	// Annotation Keys. Most tools put a tag there, some a full reference.
	refNameAnnotation = "org.opencontainers.image.ref.name"

	// imageNameAnnotation is where Docker, containerd and hauler put the full
	// reference, next to refNameAnnotation.
	imageNameAnnotation = "io.containerd.image.name"

	// baseNameAnnotation is where zarf put the full reference before v0.33. In
	// an entry that has another name, it may be that of a base image.
	baseNameAnnotation = "org.opencontainers.image.base.name"

	// kindAnnotation is how hauler tells an image from the signatures,
	// attestations, SBOMs and other referrers of that image, to which it gives
	// the image's name.
	kindAnnotation = "kind"
)

// attached reports whether the name is that of the image that the entry refers
// to.
func (n entryNames) attached() bool {
	kind, ok := strings.CutPrefix(n.kind, "dev.hauler/")
	if !ok {
		kind, ok = strings.CutPrefix(n.kind, "dev.cosignproject.cosign/")
	}
	return ok && kind != "image" && kind != "imageIndex"
}

// reference returns the reference that the annotations give. A full reference
// in imageNameAnnotation goes first, as refNameAnnotation has but its tag then.
func (n entryNames) reference() reference {
	if r := parseReference(n.image); r.repo != "" {
		return r
	}
	if n.ref == "" && n.image == "" {
		return parseReference(n.base)
	}
	return parseReference(n.ref)
}

// A reference is what an entry of an index.json is called.
type reference struct {
	host string // "docker.io", or "" if there is none
	repo string // "library/alpine", or "" if it is only a tag
	tag  string // "3", or "" if there is none
}

// parseReference reads the value of an annotation. A value that is neither a tag
// nor a reference that a registry could have is the zero reference.
func parseReference(s string) reference {
	rest, d, hasDigest := strings.Cut(s, "@")
	if hasDigest && !isDigest(d) {
		return reference{}
	}
	if !strings.ContainsAny(rest, "/:") {
		if names.Tag(rest) {
			return reference{tag: rest}
		}
		return reference{}
	}
	if isOnlyDigest(rest) {
		return reference{}
	}
	host, rest := names.SplitHost(rest)
	r, err := names.ParseReference(rest)
	if err != nil {
		return reference{}
	}
	return reference{host: host, repo: r.Repository, tag: r.Tag}
}

// isOnlyDigest reports whether a string is a digest of an algorithm that image
// spec registers. It could be a repository and a tag as well: sha256:v1 is.
func isOnlyDigest(s string) bool {
	encoded, ok := strings.CutPrefix(s, "blake3:")
	return ok && len(encoded) == 64 && names.Hex(encoded) || blobPath(digest.Digest(s)) != ""
}

// isDigest reports whether a string has the form of a digest: an algorithm, a
// colon and the encoded value (image spec, section Digests).
func isDigest(s string) bool { return digest.DigestRegexpAnchored.MatchString(s) }

// String returns the reference as parseReference reads it, with the digest if
// there is no tag. The repository must not be empty.
func (r reference) String(d digest.Digest) string {
	name := r.repo
	hasPath := strings.Contains(r.repo, "/")
	host, _ := names.SplitHost(r.repo)
	switch {
	case r.host != "":
		name = r.host + "/" + r.repo
	case host != "", !hasPath && r.tag == "", isOnlyDigest(r.repo + ":" + r.tag):
		// Without a host before it, the first component would be taken for
		// one, the name before a digest for a tag, or the whole for a digest.
		name = "localhost/" + r.repo
	}
	if r.tag == "" {
		return name + "@" + string(d)
	}
	return name + ":" + r.tag
}

// repositoryFor makes the name of a repository of that of a directory.
func repositoryFor(dir string) string {
	var b strings.Builder
	for s := strings.ToLower(dir); s != ""; {
		n := 0
		for n < len(s) && isAlnum(s[n]) {
			n++
		}
		b.WriteString(s[:n])
		s = s[n:]
		for n = 0; n < len(s) && !isAlnum(s[n]); {
			n++
		}
		if between := s[:n]; b.Len() > 0 && n < len(s) {
			if !names.Component("a" + between + "a") {
				between = "-"
			}
			b.WriteString(between)
		}
		s = s[n:]
	}
	if name := b.String(); names.Repository(name) {
		return name
	}
	return "image"
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
}
