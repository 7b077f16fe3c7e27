package explore

import (
	"fmt"
	"maps"
	"net/http"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/journal"
)

const (
	hugeBody  = 32 << 20 // bytes that the registry sends of a huge manifest, list or header
	hugeTaken = 16 << 20 // bytes that a client may read of a huge manifest or list
)

// contentTraps returns the traps with altered, ambiguous or huge content, and those
// with tags that move.
func contentTraps() []trap {
	return []trap{
		{
			name: "manifest under another digest", reference: "CVE-2025-24882; CVE-2023-47630",
			needs: func(h *hostile) string {
				if !h.base.has(byDigest, registry.GetManifest) {
					return "the operation pulls no manifest by its digest"
				}
				return ""
			},
			set: func(w *hostileWorld) {
				w.after = append(w.after, func() { w.otherImages() })
				w.intercept = func(next registry.Handler) registry.Handler {
					return func(rw http.ResponseWriter, r *registry.Request) error {
						if (r.Op == registry.GetManifest || r.Op == registry.HeadManifest) && r.Digest != "" {
							// Docker-Content-Digest then has the other digest, too.
							r.Digest = otherImage().Digest
						}
						return next(rw, r)
					}
				}
			},
			judge: succeeded("a manifest that does not match the digest that it asked for"),
			twin:  withoutDigest,
		},
		{
			name: "manifest altered, under its digest", reference: "image-spec, Descriptors: Verification",
			needs: func(h *hostile) string {
				if !h.base.has(byDigest, registry.GetManifest) {
					return "the operation pulls no manifest by its digest"
				}
				return ""
			},
			set: func(w *hostileWorld) {
				w.fault(fault.On(registry.GetManifest).Digest("*").Body(fault.Append("\n")))
			},
			judge: succeeded("a manifest that does not match the digest that it asked for"),
			twin:  spacedOut,
		},
		{
			name: "blob altered, under its digest", reference: "distribution-spec, Pulling blobs",
			needs: needs("the operation pulls no blob", registry.GetBlob),
			set:   func(w *hostileWorld) { w.fault(fault.On(registry.GetBlob).Corrupt(-1)) },
			judge: succeeded("a blob that does not match its digest"),
			twin:  redirectToCDN,
		},
		{
			name: "tag that moves between two requests", reference: "CVE-2022-47633; CWE-367",
			needs: needsTwoLooks,
			set:   func(w *hostileWorld) { w.moveTagsAt(2) },
			judge: judgeMixture,
			twin:  movedTag,
		},
		{
			name: "tag that moves between two pulls", reference: "CVE-2022-47633; CWE-367",
			needs: needsTwoPulls,
			set:   func(w *hostileWorld) { w.moveTagsAt(w.h.base.lookAfterPull()) },
			judge: func(h *hostile, e *encounter) string {
				if h.hostile().verifies && e.err == nil && !maps.Equal(e.results, h.base.results) {
					return fmt.Sprintf("succeeds with an image other than the one that it verified: %v", e.results)
				}
				return judgeMixture(h, e)
			},
			twin: movedTag,
		},
		{
			name: "manifest that is an image and an index", reference: "CVE-2021-41190",
			needs: needsImageByTag,
			set: func(w *hostileWorld) {
				w.after = append(w.after, func() {
					for _, ref := range w.h.base.tags() {
						w.put(ref, otherImage()) // pushes the blobs that the next manifest refers to
						w.put(ref, ambiguous(otherImage()))
					}
				})
			},
			judge: succeeded("a manifest whose mediaType is not its Content-Type, and that has both layers and manifests"),
			twin:  withoutType,
		},
		{
			name: "huge manifest", reference: "RFC 9110, section 17.5; CWE-770",
			needs: needs("the operation pulls no manifest", registry.GetManifest),
			set:   func(w *hostileWorld) { w.endless(false, registry.GetManifest) },
			judge: judgeHuge,
			twin:  threeMiB,
		},
		{
			name: "manifest that gzip unpacks to a huge one", reference: "RFC 9110, section 17.5; CWE-409",
			needs: needsTLS(needsGzip(registry.GetManifest)), // over loopback, socket buffers hide the number of bytes that a client reads
			set:   func(w *hostileWorld) { w.endless(true, registry.GetManifest) },
			judge: judgeHuge,
			twin:  zippedManifest,
		},
		{
			name: "huge header", reference: "RFC 9110, section 5.4; CWE-770",
			needs: needs("the operation reads nothing", append(lists, registry.GetManifest, registry.GetBlob)...),
			set:   func(w *hostileWorld) { w.padHeaders(hugeBody) },
			judge: succeeded(fmt.Sprintf("headers of %d MiB", hugeBody>>20)),
			twin:  longHeader,
		},
		{
			name: "manifest of deeply nested JSON", reference: "RFC 8259, section 9; CWE-674",
			needs: needsImageByTag,
			set: func(w *hostileWorld) {
				w.after = append(w.after, func() {
					deep := strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000)
					text := strings.Replace(string(otherImage().Manifest), "{", `{"deep":`+deep+",", 1)
					for _, ref := range w.h.base.tags() {
						w.put(ref, otherImage()) // pushes the blobs that the next manifest refers to
						w.put(ref, content.Raw(ocispec.MediaTypeImageManifest, []byte(text)))
					}
				})
			},
			twin: nested,
		},
	}
}

// authorized reports whether the request has credentials, or the registry asks for
// none.
func authorized(w *hostileWorld, r *registry.Request) bool {
	return w.login == nil || r.Header.Get("Authorization") != ""
}

// otherImages puts the image of otherImage into each repository that the
// operation pulls from.
func (w *hostileWorld) otherImages() {
	for _, r := range w.h.base.records {
		if r.Op == registry.GetManifest && !r.Failed() {
			w.put(r.Repo, otherImage())
		}
	}
}

// ambiguous returns a manifest with the properties of both an image and an index.
// Its mediaType says that it is an index, and its Content-Type that it is an image.
func ambiguous(c content.Content) content.Content {
	text := string(c.Manifest)
	text = strings.Replace(text, ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, 1)
	text = strings.Replace(text, "{", `{"manifests":[],`, 1)
	return content.Raw(ocispec.MediaTypeImageManifest, []byte(text))
}

// needsImageByTag returns the reason why a trap that puts another image at a tag
// does not apply to the operation, or "".
func needsImageByTag(h *hostile) string {
	for _, r := range h.base.tagPulls() {
		switch r.ResponseHeader.Get("Content-Type") {
		case ocispec.MediaTypeImageManifest, manifest.DockerManifest:
			return ""
		}
	}
	return "the operation pulls no image by its tag"
}

func needsGzip(op registry.Op) func(*hostile) string {
	return func(h *hostile) string {
		if !h.base.has(func(r *journal.Record) bool { return strings.Contains(r.RequestHeader.Get("Accept-Encoding"), "gzip") }, op) {
			return fmt.Sprintf("the operation sends no %v with Accept-Encoding: gzip", op)
		}
		return ""
	}
}
