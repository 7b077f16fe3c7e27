package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
)

// checkTag returns the function that the store calls before it stores the
// manifest with the digest next. That function checks the conditions of the
// request and calls the functions of [WithTagCheck]. If there are neither
// conditions nor such functions, checkTag returns nil.
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

// checkDelete returns an error if the conditions of a DELETE do not hold. If the
// request deletes a manifest, the caller holds h.writes.
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
		return nil // The response is 404, with and without conditions (RFC 9110, section 13.2.1).
	}
	if err != nil {
		return fmt.Errorf("looking up %s %s of %s: %w", r.Op, r.reference(), r.Repo, err)
	}
	return h.precondition(r, r.Tag, current)
}

// hasConditions reports whether a write has conditions that the registry checks.
func (h *handler) hasConditions(r *Request) bool {
	return len(r.Header["If-Match"])+len(r.Header["If-None-Match"]) > 0 && !h.without.has(ConditionalWrites)
}

// precondition returns an error if the conditions of a write do not hold (RFC
// 9110, section 13; Pushing Manifests with Subject). The current digest is the
// one that the tag names or, without a tag, the digest of the manifest or blob;
// it is "" if that does not exist.
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

// etagIn reports whether the values of If-Match or If-None-Match contain the
// entity tag of the digest, or *. It returns false if the digest is "". It
// ignores the prefix of an entity tag: in If-None-Match, a weak entity tag, with
// the prefix W/, is as good as a strong one (RFC 9110, section 8.8.3.2).
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
