package explore

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

// manyPages is the number of pages in the lists of twins. An honest registry may have
// that many.
const manyPages = 30

// listTraps returns the traps with endless or huge lists.
func listTraps() []trap {
	pagesOfTags := twin{name: fmt.Sprintf("%d pages of tags", manyPages), other: true, pages: true, set: func(w *hostileWorld) {
		w.pagesWithoutEnd(registry.ListTags, manyPages)
	}}
	pagesOfReferrers := twin{name: fmt.Sprintf("%d pages of referrers", manyPages), other: true, pages: true, set: func(w *hostileWorld) {
		w.pagesWithoutEnd(registry.ListReferrers, manyPages)
	}}
	return []trap{
		{
			name: "pages of tags without an end", reference: "distribution-spec, Listing Tags; CWE-835",
			needs: needs("the operation lists no tags", registry.ListTags),
			set:   func(w *hostileWorld) { w.pagesWithoutEnd(registry.ListTags, 0) },
			twin:  pagesOfTags,
		},
		{
			name: "pages of tags in a circle", reference: "distribution-spec, Listing Tags; CWE-835",
			needs: needs("the operation lists no tags", registry.ListTags),
			set:   func(w *hostileWorld) { w.pagesWithoutEnd(registry.ListTags, -1) },
			twin:  pagesOfTags,
		},
		{
			name: "pages of referrers without an end", reference: "CVE-2023-33957; CVE-2023-46737",
			needs: needs("the operation lists no referrers", registry.ListReferrers),
			set:   func(w *hostileWorld) { w.pagesWithoutEnd(registry.ListReferrers, 0) },
			twin:  pagesOfReferrers,
		},
		{
			name: "huge list of tags", reference: "RFC 9110, section 17.5; CWE-770",
			needs: needs("the operation lists no tags", registry.ListTags),
			set:   func(w *hostileWorld) { w.endless(false, registry.ListTags) },
			judge: judgeHuge,
			twin:  manyTags,
		},
		{
			name: "huge list of referrers", reference: "RFC 9110, section 17.5; CWE-770",
			needs: needs("the operation lists no referrers", registry.ListReferrers),
			set:   func(w *hostileWorld) { w.endless(false, registry.ListReferrers) },
			judge: judgeHuge,
			twin:  pagesOfReferrers,
		},
	}
}

// pagesWithoutEnd makes the registry list its content on the first page, and one
// more entry on each later page. A positive number limits the pages, and 0 does
// not. With a negative number, the second page links to itself.
func (w *hostileWorld) pagesWithoutEnd(op registry.Op, pages int) { w.pages(op, pages, 0) }

// pagesBefore makes the registry list its content on the last of several pages,
// and one other entry on each page before it.
func (w *hostileWorld) pagesBefore(op registry.Op, pages int) { w.pages(op, pages, pages-1) }

func (w *hostileWorld) pages(op registry.Op, pages, own int) {
	w.intercept = func(next registry.Handler) registry.Handler {
		return func(rw http.ResponseWriter, r *registry.Request) error {
			if r.Op != op {
				return next(rw, r)
			}
			page, _ := strconv.Atoi(r.URL.Query().Get("page"))
			if pages <= 0 || page+1 < pages {
				to := page + 1
				if pages < 0 {
					to = 1
				}
				query := r.URL.Query()
				query.Set("page", strconv.Itoa(to))
				rw.Header().Set("Link", fmt.Sprintf("<%s?%s>; rel=\"next\"", r.URL.Path, query.Encode()))
			}
			if page == own {
				return next(rw, r)
			}
			var list any = map[string]any{"name": r.Repo, "tags": []string{fmt.Sprintf("hostile-%06d", page)}}
			rw.Header().Set("Content-Type", "application/json")
			if op == registry.ListReferrers {
				index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{w.worthless(r, page)}}
				index.SchemaVersion = 2
				list = index
				rw.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
			}
			return json.NewEncoder(rw).Encode(list)
		}
	}
}

// worthless pushes a referrer without a valid signature and returns a descriptor of it.
// The descriptor has the artifact type of the existing referrers, unless otherType is
// set.
func (w *hostileWorld) worthless(r *registry.Request, page int) ocispec.Descriptor {
	c := w.referrerOf(r.Repo, r.Digest, strconv.Itoa(page))
	if w.otherType {
		// Only the descriptor has this type. The manifest keeps its own.
		c.ArtifactType = "application/vnd.example.hostile"
	}
	w.put(r.Repo, c)
	d := c.Descriptor()
	d.ArtifactType, d.Annotations = c.ArtifactType, c.Annotations
	return d
}
