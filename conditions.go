package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
)

// checkTag returns the check that a store makes before it stores the manifest,
// or nil if there is none.
func (h *handler) checkTag(r *Request, next digest.Digest) func(tag string, current digest.Digest) error {
	if !h.hasConditions(r) && len(h.tagChecks) == 0 {
		return nil
	}
	return func(tag string, current digest.Digest) error {
		if err := h.precondition(r, tag, current); err != nil {
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

// checkDelete returns an error if the conditions of a DELETE do not hold. To
// delete a manifest, the caller holds h.writes.
func (h *handler) checkDelete(r *Request) error {
	if !h.hasConditions(r) {
		return nil
	}
	var current digest.Digest
	var err error
	if r.Op == DeleteBlob {
		_, err = h.store.StatBlob(r.Context(), r.Repo, r.Digest)
		current = r.Digest
	} else {
		desc, statErr := h.store.StatManifest(r.Context(), r.Repo, r.reference())
		current, err = desc.Digest, statErr
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // The response is 404, whatever the conditions (RFC 9110, section 13.2.1).
	}
	if err != nil {
		return fmt.Errorf("looking up %s %s of %s: %w", r.Op, r.reference(), r.Repo, err)
	}
	return h.precondition(r, r.Tag, current)
}

// hasConditions reports whether a write has conditions.
func (h *handler) hasConditions(r *Request) bool {
	return len(r.Header["If-Match"])+len(r.Header["If-None-Match"]) > 0 && !h.without.has(ConditionalWrites)
}

// precondition returns an error if the conditions of a write do not hold for the
// digest that the tag, or the manifest or blob without a tag, has now (RFC 9110,
// section 13; Pushing Manifests with Subject).
func (h *handler) precondition(r *Request, tag string, current digest.Digest) error {
	if !h.hasConditions(r) {
		return nil
	}
	match, noneMatch := r.Header["If-Match"], r.Header["If-None-Match"]
	if (len(match) == 0 || etagIn(match, current, "")) && !etagIn(noneMatch, current, "W/") {
		return nil
	}
	name := tag
	if tag == "" {
		name = string(r.Digest)
	}
	code := CodeManifestInvalid
	if r.route == blobRoute {
		code = CodeDigestInvalid
	}
	e := Errorf(code, "precondition failed: %s is at %s", name, current)
	if current == "" {
		e = Errorf(code, "precondition failed: %s does not exist", name)
	} else if tag == "" {
		e = Errorf(code, "precondition failed: %s exists", name)
	}
	e.Status = http.StatusPreconditionFailed
	return e
}

// etagIn reports whether one of the entity tags in the values of a header is
// that of the digest. The entity tags may have the prefix: If-None-Match takes
// weak ones for strong ones (RFC 9110, section 8.8.3.2).
func etagIn(values []string, d digest.Digest, prefix string) bool {
	for _, v := range values {
		for _, tag := range strings.Split(v, ",") {
			tag = strings.TrimPrefix(strings.TrimSpace(tag), prefix)
			if d != "" && (tag == "*" || tag == `"`+string(d)+`"`) {
				return true
			}
		}
	}
	return false
}
