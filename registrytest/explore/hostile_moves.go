package explore

import (
	"fmt"
	"maps"
	"net/http"
	"sync/atomic"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/journal"
)

// looksAtTag reports whether a request is for the manifest of a tag that is
// not a signature's.
func looksAtTag(op registry.Op, tag string) bool {
	return (op == registry.GetManifest || op == registry.HeadManifest) && tag != "" && !isSignatureTag(tag)
}

// looks returns the successful requests for manifests by tag, except those
// for tags of signatures.
func (e *encounter) looks() (looks []*journal.Record) {
	for _, r := range e.records {
		if looksAtTag(r.Op, r.Tag) && !r.Failed() {
			looks = append(looks, r)
		}
	}
	return looks
}

// lookAfterPull returns the position, counted from 1 in looks, of the first
// request for a tag that an earlier request pulled. It returns 0 if no
// request is for such a tag.
func (e *encounter) lookAfterPull() int {
	looks := 0
	pulled := make(map[string]bool) // the tags that a request pulled, as repo:tag
	for r, tag := range e.tagged {
		if looksAtTag(r.Op, r.Tag) {
			if looks++; pulled[tag] {
				return looks
			}
		}
		if r.Op == registry.GetManifest {
			pulled[tag] = true
		}
	}
	return 0
}

// tagPulls returns the successful requests that pulled the manifest of a tag: by
// the tag, or by the digest in an earlier response for the tag, such as one to HEAD.
func (e *encounter) tagPulls() (pulls []*journal.Record) {
	for r := range e.tagged {
		if r.Op == registry.GetManifest {
			pulls = append(pulls, r)
		}
	}
	return pulls
}

// tagged yields the successful requests for the manifest of a tag, with the tag as
// repo:tag. A request by digest counts as one for the last tag whose response had
// that digest.
func (e *encounter) tagged(yield func(r *journal.Record, tag string) bool) {
	resolved := make(map[string]string) // tags, as repo:tag, by repo@digest
	for _, r := range e.records {
		if r.Failed() {
			continue
		}
		if looksAtTag(r.Op, r.Tag) {
			resolved[digestOf(r)] = r.Repo + ":" + r.Tag
		} else if r.Op != registry.GetManifest {
			continue
		}
		if tag := resolved[digestOf(r)]; tag != "" && !yield(r, tag) {
			return
		}
	}
}

// digestOf returns the repository and digest, as repo@digest, in the response to
// a request for a manifest.
func digestOf(r *journal.Record) string {
	return r.Repo + "@" + r.ResponseHeader.Get("Docker-Content-Digest")
}

// moveTagsAt points the tags of the operation at another image when the n-th
// authorized request for the manifest of a tag arrives.
func (w *hostileWorld) moveTagsAt(n int) {
	var looks atomic.Int64
	w.after = append(w.after, func() { w.otherImages() })
	w.intercept = func(next registry.Handler) registry.Handler {
		return func(rw http.ResponseWriter, r *registry.Request) error {
			if looksAtTag(r.Op, r.Tag) && authorized(w, r) && looks.Add(1) == int64(n) {
				for _, ref := range w.h.base.tags() {
					w.put(ref, otherImage())
				}
			}
			return next(rw, r)
		}
	}
}

func needsTwoLooks(h *hostile) string {
	switch {
	case len(h.base.looks()) < 2:
		return "the operation does not request the manifest of a tag twice"
	case h.other == nil:
		return "the operation gives T.Result no results, or it fails with a different image"
	}
	return ""
}

func needsTwoPulls(h *hostile) string {
	switch {
	case h.base.lookAfterPull() == 0:
		return "the operation does not look at a tag that it already pulled"
	case len(h.base.results) == 0, h.other == nil && !h.hostile().verifies:
		return "the operation gives T.Result no results, or it fails with a different image"
	}
	return ""
}

// judgeMixture reports results that mix the content of two images.
func judgeMixture(h *hostile, e *encounter) string {
	if e.err != nil || maps.Equal(e.results, h.base.results) || maps.Equal(e.results, h.other) {
		return ""
	}
	return fmt.Sprintf("succeeds with the results of two images: %v", e.results)
}
