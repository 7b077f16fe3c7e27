package layout

import (
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/names"
)

// Annotations that name the entries of an index.json.
const (
	// refNameAnnotation is defined by image-spec (Pre-Defined Annotation Keys).
	// Most tools write a tag, some a full reference.
	refNameAnnotation = "org.opencontainers.image.ref.name"

	// imageNameAnnotation holds the full reference in layouts of Docker,
	// containerd and hauler, beside refNameAnnotation.
	imageNameAnnotation = "io.containerd.image.name"

	// baseNameAnnotation holds the full reference in layouts of zarf before
	// v0.33. In entries with another name, it may name a base image.
	baseNameAnnotation = "org.opencontainers.image.base.name"

	// kindAnnotation distinguishes, in stores of hauler, images from their
	// signatures, attestations, SBOMs and other referrers, which have the name
	// of the image.
	kindAnnotation = "kind"

	// referrersAnnotation marks a referrers tag that the store maintains. Its
	// value is the subject.
	referrersAnnotation = "com.github.ocireg.referrers"
)

// attached reports whether the entry has the name of an image to which it is
// attached.
func (n entryNames) attached() bool {
	kind, ok := strings.CutPrefix(n.kind, "dev.hauler/")
	if !ok {
		kind, ok = strings.CutPrefix(n.kind, "dev.cosignproject.cosign/")
	}
	return ok && kind != "image" && kind != "imageIndex"
}

// reference returns the reference for the annotations. A full reference in
// imageNameAnnotation takes precedence, because refNameAnnotation then holds
// only the tag.
func (n entryNames) reference() reference {
	if r := parseReference(n.image); r.repo != "" {
		return r
	}
	if n.ref == "" && n.image == "" {
		return parseReference(n.base)
	}
	return parseReference(n.ref)
}

// A reference is the name of an entry in an index.json.
type reference struct {
	host string // "docker.io", or "" if there is none
	repo string // "library/alpine", or "" if it is only a tag
	tag  string // "3", or "" if there is none
}

// parseReference parses the value of an annotation. It returns the zero
// reference for a value that is neither a tag nor a reference that a registry
// could have.
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

// isOnlyDigest reports whether s is a digest of an algorithm that image-spec
// registers, and not a repository with a tag, such as sha256:v1.
func isOnlyDigest(s string) bool {
	encoded, ok := strings.CutPrefix(s, "blake3:")
	return ok && len(encoded) == 64 && names.Hex(encoded) || blobPath(digest.Digest(s)) != ""
}

// isDigest reports whether s has the form of a digest: an algorithm, a colon
// and the encoded value (image-spec, Digests).
func isDigest(s string) bool { return digest.DigestRegexpAnchored.MatchString(s) }

// String returns the name from which parseReference restores the reference. It
// includes the digest if there is no tag. The repository must not be empty.
func (r reference) String(d digest.Digest) string {
	name := r.repo
	hasPath := strings.Contains(r.repo, "/")
	host, _ := names.SplitHost(r.repo)
	switch {
	case r.host != "":
		name = r.host + "/" + r.repo
	case host != "", !hasPath && r.tag == "", isOnlyDigest(r.repo + ":" + r.tag):
		// Without a host, parseReference would take the first component for
		// one, the name for a tag, or the whole for a digest.
		name = "localhost/" + r.repo
	}
	if r.tag == "" {
		return name + "@" + string(d)
	}
	return name + ":" + r.tag
}

// repositoryFor derives the name of a repository from the name of a directory.
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
