package layout

import "strings"

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
		if validTag(rest) {
			return reference{tag: rest}
		}
		return reference{}
	}
	var r reference
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, '/') {
		rest, r.tag = rest[:colon], rest[colon+1:]
		if !validTag(r.tag) {
			return reference{}
		}
	}
	r.repo = rest
	if first, path, ok := strings.Cut(rest, "/"); ok && isHost(first) {
		r.host, r.repo = first, path
	}
	if !validRepository(r.repo) {
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

// maxNameLength is the length that the name of a repository may have.
const maxNameLength = 255

// validRepository reports whether s is a <name> of the distribution spec,
// section Pulling manifests.
func validRepository(s string) bool {
	if len(s) > maxNameLength {
		return false
	}
	for c := range strings.SplitSeq(s, "/") {
		if !validComponent(c) {
			return false
		}
	}
	return true
}

// validComponent reports whether s can be a component of a repository name:
//
//	[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*
func validComponent(s string) bool {
	for {
		n := 0
		for n < len(s) && isAlnum(s[n]) {
			n++
		}
		if n == 0 || n == len(s) {
			return n > 0
		}
		s = s[n:]
		n = separator(s)
		if n == 0 {
			return false
		}
		s = s[n:]
	}
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
}

// separator returns the length of the separator that s begins with, or 0.
func separator(s string) int {
	switch {
	case strings.HasPrefix(s, "__"):
		return 2
	case s[0] == '.' || s[0] == '_':
		return 1
	}
	return len(s) - len(strings.TrimLeft(s, "-"))
}

// validTag reports whether s is a tag of the distribution spec, section
// Pulling manifests:
//
//	[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
func validTag(s string) bool {
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
			if separator(between) != n {
				between = "-"
			}
			b.WriteString(between)
		}
		s = s[n:]
	}
	if name := b.String(); validRepository(name) {
		return name
	}
	return "image"
}
