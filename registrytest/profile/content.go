package profile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
	"github.com/ocireg/registry/internal/names"
)

// errorsOf returns the registry errors that err wraps, in order.
func errorsOf(err error) (all []*registry.Error) {
	switch err := err.(type) {
	case nil:
		return nil
	case *registry.Error:
		return []*registry.Error{err}
	case interface{ Unwrap() []error }:
		for _, e := range err.Unwrap() {
			all = append(all, errorsOf(e)...)
		}
		return all
	}
	return errorsOf(errors.Unwrap(err))
}

// hasRepository reports whether the repository exists: it has content, or the
// option [Repositories] matches its name.
func (b *build) hasRepository(r *registry.Request, repo string) bool {
	if names.MatchAny(b.set.repos, repo) {
		return true
	}
	return hasContent(r, repo)
}

// hasContent reports whether the store knows the repository. If listing its tags
// fails with an error other than fs.ErrNotExist, it assumes so.
func hasContent(r *registry.Request, repo string) bool {
	for _, err := range r.Store().Tags(r.Context(), repo, "") {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return true
}

// hasNamespace reports whether the namespace of the repository exists: some
// repository with content has the same first element, or the option
// [Repositories] matches the name.
func (b *build) hasNamespace(r *registry.Request, repo string) bool {
	if b.hasRepository(r, repo) {
		return true
	}
	namespace, _, _ := strings.Cut(repo, "/")
	for other, err := range r.Store().Repositories(r.Context(), namespace+"/") {
		return err == nil && strings.HasPrefix(other, namespace+"/")
	}
	return false
}

// hasManifest reports whether the manifest that the request names exists.
func hasManifest(r *registry.Request) bool {
	reference := r.Tag
	if reference == "" {
		reference = string(r.Digest)
	}
	_, err := r.Store().StatManifest(r.Context(), r.Repo, reference)
	return err == nil
}

// isReferenced reports whether an image in the repository refers to the blob.
// The image must have a tag, or be in an index with a tag.
func isReferenced(r *registry.Request, repo string, blob digest.Digest) bool {
	var refers func(reference string, depth int) bool
	refers = func(reference string, depth int) bool {
		m, err := r.Store().GetManifest(r.Context(), repo, reference)
		if err != nil {
			return false
		}
		if bytes.Contains(m.Content, []byte(blob)) {
			return true
		}
		d, _ := manifest.Parse(m.MediaType, m.Content) // the stored manifest is valid JSON
		return depth > 0 && slices.ContainsFunc(d.Manifests, func(c ocispec.Descriptor) bool { return refers(string(c.Digest), depth-1) })
	}
	for tag, err := range r.Store().Tags(r.Context(), repo, "") {
		if err == nil && refers(tag, 2) {
			return true
		}
	}
	return false
}

// tagsOf returns the number of tags that the manifest has in the request's
// repository, except for the tag in the request.
func tagsOf(r *registry.Request, d digest.Digest) (n int) {
	if _, err := r.Store().StatManifest(r.Context(), r.Repo, string(d)); err != nil {
		return 0
	}
	for tag, err := range r.Store().Tags(r.Context(), r.Repo, "") {
		if err != nil {
			break
		}
		if m, err := r.Store().StatManifest(r.Context(), r.Repo, tag); err == nil && m.Digest == d && tag != r.Tag {
			n++
		}
	}
	return n
}

// maxManifest limits the number of bytes of a manifest that quirks read.
const maxManifest = 16 << 20

// A document is the manifest in the body of a push.
type document struct {
	manifest.Document
	contentType string // the Content-Type without parameters
	content     []byte
}

// A readBody is the body of a request whose manifest a quirk has already read.
// It lets the registry read the manifest again.
type readBody struct {
	io.Reader
	io.Closer
	document document
}

// readManifest returns the manifest in the body of a push. The registry can
// still read the body.
func readManifest(r *registry.Request) document {
	if read, ok := r.Body.(*readBody); ok {
		return read.document // another quirk already read it
	}
	var content bytes.Buffer
	if 0 < r.ContentLength && r.ContentLength <= maxManifest {
		content.Grow(int(r.ContentLength) + bytes.MinRead) // ReadFrom needs MinRead bytes of space to find the end.
	}
	_, err := content.ReadFrom(io.LimitReader(r.Body, maxManifest))
	d := document{content: content.Bytes()}
	rest := io.Reader(bytes.NewReader(d.content))
	if err == nil {
		rest = io.MultiReader(rest, r.Body)
	}
	d.contentType, _, _ = strings.Cut(r.Header.Get("Content-Type"), ";")
	d.Document, _ = manifest.Parse(manifest.Canonical(d.contentType), d.content) // the registry refuses invalid JSON
	hr := *r.Request
	hr.Body = &readBody{rest, r.Body, d}
	r.Request = &hr
	return d
}

// refuseManifest is like refuse for pushes of manifests. It passes the manifest
// to find.
func refuseManifest(find func(b *build, r *registry.Request, d document) *registry.Error) behaviour {
	return refuse(func(b *build, r *registry.Request) *registry.Error {
		return find(b, r, readManifest(r))
	}, registry.PutManifest)
}
