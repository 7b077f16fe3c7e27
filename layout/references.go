package layout

import (
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/names"
)

// Annotations of the entries in index.json that this package reads or writes.
const (
	// refNameAnnotation is defined by image-spec (Pre-Defined Annotation Keys).
	// Most tools store a tag in it, and some a full reference.
	refNameAnnotation = "org.opencontainers.image.ref.name"

	// imageNameAnnotation holds the full reference in layouts of Docker,
	// containerd and hauler, which also have refNameAnnotation.
	imageNameAnnotation = "io.containerd.image.name"

	// baseNameAnnotation holds the full reference in layouts of zarf before v0.33.
	// In an entry that has another name, it may hold the name of a base image.
	baseNameAnnotation = "org.opencontainers.image.base.name"

	// kindAnnotation tells an image from its referrers in stores of hauler: signatures,
	// attestations, SBOMs and the like also carry the name of the image.
	kindAnnotation = "kind"

	// referrersAnnotation marks the entry of a referrers tag that the store
	// maintains. Its value is the digest of the subject.
	referrersAnnotation = "com.github.ocireg.referrers"
)

// attached reports whether the entry is a signature or another referrer that
// carries the name of its image.
func (n entryNames) attached() bool {
	kind, ok := strings.CutPrefix(n.kind, "dev.hauler/")
	if !ok {
		kind, ok = strings.CutPrefix(n.kind, "dev.cosignproject.cosign/")
	}
	return ok && kind != "image" && kind != "imageIndex"
}

// reference returns the reference that the annotations of an entry contain. A
// full reference in imageNameAnnotation takes precedence, because
// refNameAnnotation then holds only the tag.
func (n entryNames) reference() reference {
	if r := parseReference(n.image); r.repo != "" {
		return r
	}
	if n.ref == "" && n.image == "" {
		return parseReference(n.base)
	}
	return parseReference(n.ref)
}

// A reference is the parsed name of an entry in index.json. Each part may be
// empty.
type reference struct {
	host string // such as docker.io
	repo string // such as library/alpine, or "" if the name is only a tag
	tag  string // such as 3
}

// parseReference parses the value of an annotation that names an entry. It
// returns the zero reference if the value is neither a tag nor a reference that
// a registry can have.
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

// isOnlyDigest reports whether s is a digest with the algorithm sha256, sha384,
// sha512 or blake3, and not a repository with a tag, such as sha256:v1.
func isOnlyDigest(s string) bool {
	encoded, ok := strings.CutPrefix(s, "blake3:")
	return ok && len(encoded) == 64 && names.Hex(encoded) || blobPath(digest.Digest(s)) != ""
}

// isDigest reports whether s has the form of a digest: an algorithm, a colon
// and the encoded value (image-spec, Digests).
func isDigest(s string) bool { return digest.DigestRegexpAnchored.MatchString(s) }

// String returns a name that parseReference parses as r. If r has no host and the
// name would be ambiguous, it has the host localhost. Without a tag, the name has
// the digest d. The repository must not be empty.
func (r reference) String(d digest.Digest) string {
	name := r.repo
	hasPath := strings.Contains(r.repo, "/")
	host, _ := names.SplitHost(r.repo)
	switch {
	case r.host != "":
		name = r.host + "/" + r.repo
	case host != "", !hasPath && r.tag == "", isOnlyDigest(r.repo + ":" + r.tag):
		// Without a host, parseReference would take the first component for a host,
		// the repository for a tag, or the whole name for a digest.
		name = "localhost/" + r.repo
	}
	if r.tag == "" {
		return name + "@" + string(d)
	}
	return name + ":" + r.tag
}

// repositoryFor derives a valid repository name from the name of a directory.
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
