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

// looks returns the successful requests for manifests by tag, except the
// tags of signatures.
func (e *encounter) looks() (looks []*journal.Record) {
	for _, r := range e.records {
		if looksAtTag(r.Op, r.Tag) && !r.Failed() {
			looks = append(looks, r)
		}
	}
	return looks
}

// lookAfterPull returns the position, counted from 1 in looks, of the first
// request for a tag that an earlier request has pulled. It returns 0 if no
// request is for such a tag.
func (e *encounter) lookAfterPull() int {
	pulled := make(map[string]bool)
	for i, r := range e.looks() {
		if pulled[r.Repo+":"+r.Tag] {
			return i + 1
		}
		pulled[r.Repo+":"+r.Tag] = r.Op == registry.GetManifest
	}
	return 0
}

// moveTagsAt points the tags of the operation at another image when the n-th
// request for the manifest of a tag arrives.
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
		return "the operation looks at a tag once"
	case h.other == nil:
		return "T.Result has no results of the operation, or it fails with another image"
	}
	return ""
}

func needsTwoPulls(h *hostile) string {
	switch {
	case h.base.lookAfterPull() == 0:
		return "the operation does not look at a tag that it has pulled"
	case len(h.base.results) == 0, h.other == nil && !h.hostile().verifies:
		return "T.Result has no results of the operation, or it fails with another image"
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
