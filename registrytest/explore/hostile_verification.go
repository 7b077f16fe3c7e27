package explore

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/journal"
)

// signatureTag reports whether the request is for a tag that has a signature or
// the referrers of a manifest, such as sha256-….sig.
func signatureTag(r *journal.Record) bool { return isSignatureTag(r.Tag) }

func isSignatureTag(tag string) bool { return strings.HasPrefix(tag, "sha256-") }

// validAtLast is a twin that has the valid signatures on the last page of referrers.
var validAtLast = twin{name: fmt.Sprintf("signatures on the last of %d pages of referrers", manyPages), set: func(w *hostileWorld) {
	w.pagesBefore(registry.ListReferrers, manyPages)
}}

// verificationTraps returns the traps for clients that verify signatures.
func verificationTraps() []trap {
	return []trap{
		{
			name: "429 to all requests for signatures", reference: "CVE-2026-45781",
			needs: looksForSignatures,
			set: func(w *hostileWorld) {
				w.fault(fault.On(registry.ListReferrers).Status(http.StatusTooManyRequests))
				w.fault(fault.On(registry.GetManifest, registry.HeadManifest).Tag("sha256-*").Status(http.StatusTooManyRequests))
			},
			judge: succeeded("429 in place of the list of referrers"),
			twin:  referrersTag,
		},
		{
			name: "signatures stripped", reference: "CVE-2022-35930; CWE-636",
			needs: verifies,
			set: func(w *hostileWorld) {
				w.intercept = func(next registry.Handler) registry.Handler {
					return func(rw http.ResponseWriter, r *registry.Request) error {
						switch {
						case r.Op == registry.ListReferrers:
							r.Digest = digest.FromString("nothing")
						case isSignatureTag(r.Tag):
							return registry.Errorf(registry.CodeManifestUnknown, "the signature was stripped")
						}
						return next(rw, r)
					}
				}
			},
			judge: succeeded("an image without a signature"),
			twin:  referrersTag,
		},
		{
			name: "old signature on another image", reference: "CVE-2026-31830",
			needs: verifiesTag,
			set: func(w *hostileWorld) {
				w.moveTags(otherImage())
				old, signed := digest.Digest(""), otherImage().Digest
				for _, r := range w.h.base.records {
					if r.Op == registry.ListReferrers && old == "" {
						old = r.Digest
					}
				}
				w.intercept = func(next registry.Handler) registry.Handler {
					return func(rw http.ResponseWriter, r *registry.Request) error {
						switch {
						case r.Op == registry.ListReferrers && r.Digest == signed && old != "":
							r.Digest = old
						case strings.HasPrefix(r.Tag, "sha256-"+signed.Encoded()):
							for _, b := range w.h.base.records {
								if signatureTag(b) {
									r.Tag = b.Tag
								}
							}
						}
						return next(rw, r)
					}
				}
			},
			judge: succeeded("an image with the signature of another one"),
			twin:  invalidBesideValid,
		},
		{
			name: "signatures without an end, and none is valid", reference: "CVE-2023-33957; CVE-2023-33958",
			needs: verifiesReferrers,
			set: func(w *hostileWorld) {
				w.worthlessWithoutEnd()
			},
			judge: succeeded("an image without a valid signature"),
			twin:  validAtLast,
		},
		{
			name: "referrers without an end, and none is a signature", reference: "CVE-2023-33957",
			needs: verifiesReferrers,
			set: func(w *hostileWorld) {
				w.otherType = true
				w.worthlessWithoutEnd()
			},
			judge: succeeded("an image without a signature"),
			twin:  validAtLast,
		},
	}
}

func looksForSignatures(h *hostile) string {
	if !h.base.has(nil, registry.ListReferrers) && !h.base.has(signatureTag, registry.GetManifest, registry.HeadManifest) {
		return "the operation asks for no referrers and no tags of signatures"
	}
	return ""
}

func verifiesReferrers(h *hostile) string {
	if !h.base.has(nil, registry.ListReferrers) {
		return "the operation lists no referrers"
	}
	return verifies(h)
}

// verifiesTag returns the reason why a trap that puts another image at a tag does
// not apply to the operation, or "".
func verifiesTag(h *hostile) string {
	if h.base.tags() == nil {
		return "the operation looks at no tag, so no image can take the place of another"
	}
	return verifies(h)
}

// worthlessWithoutEnd makes the registry hide its own signatures and list an
// endless number of referrers without a valid signature.
func (w *hostileWorld) worthlessWithoutEnd() {
	w.pages(registry.ListReferrers, 0, -1)
	pages := w.intercept
	w.intercept = func(next registry.Handler) registry.Handler {
		return pages(func(rw http.ResponseWriter, r *registry.Request) error {
			if isSignatureTag(r.Tag) {
				return registry.Errorf(registry.CodeManifestUnknown, "the signature was stripped")
			}
			return next(rw, r)
		})
	}
}

func verifies(h *hostile) string {
	if !h.hostile().verifies {
		return "the operation verifies nothing; see Verifies"
	}
	return looksForSignatures(h)
}
