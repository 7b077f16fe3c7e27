package layout

import (
	"strings"

	"github.com/ocireg/registry/internal/names"
)

// Annotations that name the entries of an index.json.
const (
	// refNameAnnotation is the one of the image spec, section Pre-Defined
	// Annotation Keys. Most tools put a tag there, some a full reference.
	refNameAnnotation = "org.opencontainers.image.ref.name"

	// imageNameAnnotation is where Docker and containerd put the full
	// reference, next to the tag in refNameAnnotation.
	imageNameAnnotation = "io.containerd.image.name"
)

// A reference is what an entry of an index.json is called.
type reference struct {
	host string // "docker.io", or "" if there is none
	repo string // "library/alpine", or "" if it is only a tag
	tag  string // "3", or "" if there is none
}

// parseReference reads the value of an annotation. What is neither a tag nor a
// reference that a registry could have is the zero reference.
func parseReference(s string) reference {
	rest, _, hasDigest := strings.Cut(s, "@")
	if !hasDigest && !strings.ContainsAny(rest, "/:") {
		if names.Tag(rest) {
			return reference{tag: rest}
		}
		return reference{}
	}
	var r reference
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, '/') {
		rest, r.tag = rest[:colon], rest[colon+1:]
		if !names.Tag(r.tag) {
			return reference{}
		}
	}
	r.repo = rest
	if first, path, ok := strings.Cut(rest, "/"); ok && isHost(first) {
		r.host, r.repo = first, path
	}
	if !names.Repository(r.repo) {
		return reference{}
	}
	return r
}

// isHost reports whether the first component of a reference is the host of a
// registry, as Docker tells them apart.
func isHost(s string) bool {
	return s == "localhost" || strings.ContainsAny(s, ".:") && s[0] != '.'
}

// name returns what parseReference reads as the repository.
func (r reference) name() string {
	if r.host != "" {
		return r.host + "/" + r.repo
	}
	if first, _, ok := strings.Cut(r.repo, "/"); ok && isHost(first) {
		// It would be taken for a host unless there is one before it.
		return "localhost/" + r.repo
	}
	return r.repo
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
