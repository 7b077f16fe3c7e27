package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/manifest"
	"github.com/ocireg/registry/internal/names"
)

// getManifest answers GET of end-3 (Pulling manifests).
func (h *handler) getManifest(w http.ResponseWriter, r *Request) error {
	m, err := h.store.GetManifest(r.Context(), r.Repo, r.reference())
	if err != nil {
		return h.manifestError(r, "reading", err)
	}
	return h.serveContent(w, r, m.MediaType, m.Digest, int64(len(m.Content)), bytes.NewReader(m.Content))
}

// headManifest answers HEAD of end-3 (Checking if content exists in the
// registry).
func (h *handler) headManifest(w http.ResponseWriter, r *Request) error {
	d, err := h.store.StatManifest(r.Context(), r.Repo, r.reference())
	if err != nil {
		return h.manifestError(r, "looking up", err)
	}
	return h.serveContent(w, r, d.MediaType, d.Digest, d.Size, sized(d.Size))
}

// putManifest answers end-7 (Pushing Manifests).
func (h *handler) putManifest(w http.ResponseWriter, r *Request) error {
	content, err := h.readManifest(r)
	if err != nil {
		return err
	}
	algorithm := digest.Canonical
	if r.Digest != "" {
		algorithm = r.Digest.Algorithm()
	}
	m := Manifest{Content: content, Digest: digestOf(algorithm, content)}
	if r.Digest != "" && r.Digest != m.Digest {
		return Errorf(CodeDigestInvalid, "manifest has digest %s, but was pushed as %s", m.Digest, r.Digest)
	}
	tags, err := h.tagsToPut(r)
	if err != nil {
		return err
	}
	doc, err := h.describe(&m, r.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	if !h.sparseManifests && !h.anyManifest && manifest.Known(m.MediaType) {
		if err := h.checkReferences(r.Context(), r.Repo, doc); err != nil {
			return err
		}
	}
	err = h.store.PutManifest(r.Context(), r.Repo, m, tags, h.checkTag(r, m.Digest))
	if err != nil {
		return fmt.Errorf("storing manifest %s in %s: %w", m.Digest, r.Repo, err)
	}
	if m.Subject != "" && !h.without.has(ListReferrers) {
		w.Header().Set("OCI-Subject", string(m.Subject))
	}
	if r.Tag == "" && len(tags) > 0 {
		w.Header().Set("OCI-Tag", strings.Join(tags, ", "))
	}
	return writeCreated(w, r, "manifests", m.Digest)
}

// maxTrusted is the Content-Length in bytes up to which memory for a manifest
// is taken before its bytes have arrived.
const maxTrusted = 16 << 20

// readManifest reads the body, up to the size that a manifest may have.
func (h *handler) readManifest(r *Request) ([]byte, error) {
	if r.ContentLength > h.manifestLimit {
		return nil, h.manifestTooLarge()
	}
	if 0 <= r.ContentLength && r.ContentLength <= maxTrusted {
		content := make([]byte, r.ContentLength)
		if n, err := io.ReadFull(r.Body, content); err != nil {
			return nil, Errorf(CodeSizeInvalid, "received %d bytes of a manifest of %d: %v", n, r.ContentLength, err)
		}
		return content, nil
	}
	content, err := io.ReadAll(io.LimitReader(r.Body, max(h.manifestLimit, h.manifestLimit+1)))
	if err == nil && r.ContentLength > int64(len(content)) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, Errorf(CodeSizeInvalid, "manifest ended after %d bytes: %v", len(content), err)
	}
	if int64(len(content)) > h.manifestLimit {
		return nil, h.manifestTooLarge()
	}
	return bytes.Clone(content), nil
}

func (h *handler) manifestTooLarge() error {
	return &Error{
		Code:    CodeManifestInvalid,
		Status:  http.StatusRequestEntityTooLarge,
		Message: fmt.Sprintf("manifest is larger than %d bytes", h.manifestLimit),
	}
}

// tagsToPut returns the tags that the pushed manifest gets: the one in the
// path or, if that has a digest, the parameters tag (end-7b).
func (h *handler) tagsToPut(r *Request) ([]string, error) {
	if r.Tag != "" {
		return []string{r.Tag}, nil
	}
	if r.URL.RawQuery == "" || h.without.has(TagParameters) {
		return nil, nil
	}
	var tags []string
	for _, t := range r.URL.Query()["tag"] {
		if !names.Tag(t) {
			return nil, Errorf(CodeManifestInvalid, "%q is not a valid tag", t)
		}
		if !slices.Contains(tags, t) {
			tags = append(tags, t)
		}
	}
	return tags, nil
}

// describe fills in what the manifest's Content-Type and its content say.
func (h *handler) describe(m *Manifest, contentType string) (doc *manifest.Document, err error) {
	switch {
	case contentType == "":
	case manifest.Known(contentType):
		m.MediaType = contentType
	default:
		// Parameters are ignored; so is what is wrong with them. The type is
		// kept as it was written.
		m.MediaType, _, _ = strings.Cut(contentType, ";")
		m.MediaType = strings.TrimSpace(m.MediaType)
		if _, _, err := mime.ParseMediaType(m.MediaType); err != nil && !h.anyManifest {
			return doc, Errorf(CodeManifestInvalid, "Content-Type is %q: %v", contentType, err)
		}
	}
	if manifest.Opaque(m.MediaType) {
		return &manifest.Document{}, nil
	}
	doc, err = h.parse(m)
	if m.MediaType == "" {
		m.MediaType = doc.Type()
	}
	switch {
	case h.anyManifest:
		if m.MediaType == "" {
			m.MediaType = blobMediaType
		}
	case err != nil:
		return doc, Errorf(CodeManifestInvalid, "%v", err)
	case m.MediaType == "":
		return doc, Errorf(CodeManifestInvalid, "manifest has no media type: neither Content-Type nor mediaType is set")
	default:
		if err := doc.Check(m.MediaType); err != nil {
			return doc, Errorf(CodeManifestInvalid, "%v", err)
		}
	}
	m.Subject = doc.SubjectDigest()
	m.ArtifactType = doc.ReferrerType()
	m.Annotations = maps.Clone(doc.Annotations) // The document may be remembered.
	return doc, nil
}

// maxRemembered is the size up to which a manifest is remembered. What was read
// in it may take forty times as much memory.
const maxRemembered = 32 << 10

// parse reads the content of a manifest. It remembers the last one: an image is
// often pushed under several tags in a row.
func (h *handler) parse(m *Manifest) (*manifest.Document, error) {
	if last := h.lastParsed.Load(); last != nil && last.digest == m.Digest {
		return &last.Document, nil
	}
	doc, err := manifest.Parse(m.Content)
	p := &parsedManifest{doc, m.Digest}
	if err == nil && len(m.Content) <= maxRemembered {
		h.lastParsed.Store(p)
	}
	return &p.Document, err
}

// A parsedManifest is what was read in the manifest with the digest.
type parsedManifest struct {
	manifest.Document
	digest digest.Digest
}

// checkReferences returns an error for each blob and manifest that the
// document needs and that is not in the repository (Push).
func (h *handler) checkReferences(ctx context.Context, repo string, doc *manifest.Document) error {
	var missing []error
	note := func(kind string, d digest.Digest, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, &Error{
				Code:    CodeManifestBlobUnknown,
				Message: fmt.Sprintf("%s has no %s %s", repo, kind, d),
				Detail:  map[string]string{"digest": string(d)},
			})
			return nil
		}
		if err != nil {
			return fmt.Errorf("looking up %s %s of %s: %w", kind, d, repo, err)
		}
		return nil
	}
	for d := range doc.RequiredBlobs {
		_, err := h.store.StatBlob(ctx, repo, d)
		if err := note("blob", d, err); err != nil {
			return err
		}
	}
	for i := range doc.Manifests {
		d := doc.Manifests[i].Digest
		_, err := h.store.StatManifest(ctx, repo, string(d))
		if err := note("manifest", d, err); err != nil {
			return err
		}
	}
	return errors.Join(missing...)
}

// checkTag returns what has to hold for the manifest to be stored, or nil if
// nothing has to.
func (h *handler) checkTag(r *Request, next digest.Digest) func(tag string, current digest.Digest) error {
	match, noneMatch := r.Header["If-Match"], r.Header["If-None-Match"]
	if h.without.has(ConditionalWrites) {
		match, noneMatch = nil, nil
	}
	if len(match) == 0 && len(noneMatch) == 0 && len(h.tagChecks) == 0 {
		return nil
	}
	return func(tag string, current digest.Digest) error {
		if err := precondition(match, noneMatch, tag, current); err != nil {
			return err
		}
		if tag == "" {
			return nil
		}
		for _, check := range h.tagChecks {
			if err := check(r, tag, current, next); err != nil {
				return err
			}
		}
		return nil
	}
}

// precondition returns an error if the conditions of a write do not hold for
// what is there (RFC 9110, section 13; Pushing Manifests with Subject).
func precondition(match, noneMatch []string, tag string, current digest.Digest) error {
	if (len(match) == 0 || etagIn(match, current, "")) && !etagIn(noneMatch, current, "W/") {
		return nil
	}
	is := "is at " + string(current)
	if current == "" {
		is = "is not there"
	}
	return &Error{
		Code:    CodeManifestInvalid,
		Status:  http.StatusPreconditionFailed,
		Message: strings.TrimSpace("precondition failed: " + tag + " " + is),
	}
}

// etagIn reports whether one of the entity tags in the values of a header is
// that of the digest. The prefix is one that they may have: If-None-Match takes
// weak entity tags for strong ones (RFC 9110, section 8.8.3.2).
func etagIn(values []string, d digest.Digest, prefix string) bool {
	for _, v := range values {
		for tag := range strings.SplitSeq(v, ",") {
			tag = strings.TrimPrefix(strings.TrimSpace(tag), prefix)
			if d != "" && (tag == "*" || tag == `"`+string(d)+`"`) {
				return true
			}
		}
	}
	return false
}

// deleteManifest answers end-9 (Deleting tags, Deleting Manifests).
func (h *handler) deleteManifest(w http.ResponseWriter, r *Request) (err error) {
	if r.Op == DeleteTag {
		err = h.store.DeleteTag(r.Context(), r.Repo, r.Tag)
	} else {
		err = h.store.DeleteManifest(r.Context(), r.Repo, r.Digest)
	}
	if err != nil {
		return h.manifestError(r, "deleting", err)
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func (h *handler) manifestError(r *Request, doing string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return h.unknown(r, &Error{
			Code:    CodeManifestUnknown,
			Message: fmt.Sprintf("%s has no manifest %s", r.Repo, r.reference()),
			Detail:  err.Error(), // A store on disk names the file.
		})
	}
	return fmt.Errorf("%s manifest %s of %s: %w", doing, r.reference(), r.Repo, err)
}
