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
	c := h.conditions(r)
	return func(tag string, current digest.Digest) error {
		if err := c.check(r, tag, current); err != nil {
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
	return h.conditions(r).check(r, r.Tag, current)
}

// hasConditions reports whether a write has conditions that the registry checks.
func (h *handler) hasConditions(r *Request) bool {
	return len(r.Header["If-Match"])+len(r.Header["If-None-Match"]) > 0 && !h.without.has(ConditionalWrites)
}

// conditions are the conditions of a write. They are parsed once for a request,
// because a request may have 900 kB of entity tags and thousands of tags.
type conditions struct {
	match, noneMatch etags // nil if the request does not have the field
}

// conditions returns the conditions of the request that the registry checks.
func (h *handler) conditions(r *Request) (c conditions) {
	if h.hasConditions(r) {
		// In If-None-Match, a weak entity tag, with the prefix W/, is as good as a
		// strong one (RFC 9110, section 8.8.3.2).
		c = conditions{parseETags(r.Header["If-Match"], ""), parseETags(r.Header["If-None-Match"], "W/")}
	}
	return c
}

// check returns an error if the conditions of a write do not hold (RFC 9110,
// section 13; Pushing Manifests with Subject). The current digest is the one that
// the tag names or, without a tag, the digest of the manifest or blob; it is "" if
// that does not exist.
func (c conditions) check(r *Request, tag string, current digest.Digest) error {
	if (c.match == nil || c.match.have(current)) && !c.noneMatch.have(current) {
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

// etags are the members of If-Match or If-None-Match: entity tags, or *.
type etags map[string]struct{}

// parseETags returns the members of the values of a field, without the prefix. It
// returns nil for no values.
func parseETags(values []string, prefix string) etags {
	if len(values) == 0 {
		return nil
	}
	all := make(etags)
	for _, v := range values {
		for tag := range strings.SplitSeq(v, ",") {
			all[strings.TrimPrefix(strings.TrimSpace(tag), prefix)] = struct{}{}
		}
	}
	return all
}

// have reports whether * or the entity tag of the digest is among the members. It
// returns false if the digest is "".
func (e etags) have(d digest.Digest) bool {
	_, any := e["*"]
	_, own := e[`"`+string(d)+`"`]
	return d != "" && (any || own)
}
