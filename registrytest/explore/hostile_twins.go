package explore

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
)

// These twins are the honest counterparts of traps. Some belong to several traps.
var (
	redirectToCDN = twin{name: "a redirect to a CDN", set: func(w *hostileWorld) {
		w.redirect(w.host(cdnHost, w.mirror(), false), registry.GetBlob, registry.HeadBlob)
	}}
	redirectOfManifests = twin{name: "a redirect of manifests to another registry", set: func(w *hostileWorld) {
		w.redirect(w.host(cdnHost, w.mirror(), false), registry.GetManifest, registry.HeadManifest)
	}}
	manifestsMoved = movedWithin("a redirect of manifests to another URL of the registry", absolute, registry.GetManifest, registry.HeadManifest)
	blobsMoved     = movedWithin("a redirect of blobs to another URL of the registry", absolute, registry.GetBlob, registry.HeadBlob)
	allMoved       = movedWithin("a redirect by a path, which keeps the scheme", relative, pulls...)

	absoluteLocation = twin{name: "an absolute Location at the registry's host", set: func(w *hostileWorld) {
		w.options = append(w.options, registry.Without(registry.RelativeLocations))
	}}
	realmElsewhere = twin{name: "a realm at another host with TLS", set: func(w *hostileWorld) {
		w.login.Realm = w.host(authHost, w.login.TokenHandler(), true) + "/token"
	}}
	privateRealm = twin{name: "a realm at the registry's own host, which has a private address", set: func(w *hostileWorld) { w.at = privateHost }}
	absoluteLink = twin{name: "an absolute Link at the registry's host", other: true, pages: true, set: func(w *hostileWorld) {
		w.options = append(w.options, registry.WithPageSize(1), registry.Without(registry.RelativeLocations))
		w.moreToList()
	}}
	foreignLayerOfBoth = twin{name: "a foreign layer that the registry has, too", moved: true, set: func(w *hostileWorld) {
		w.foreignLayer(w.host(cdnHost, w.mirror(), false), true)
	}}

	withoutDigest = twin{name: "a manifest without Docker-Content-Digest, by its digest", set: func(w *hostileWorld) {
		w.fault(fault.On(registry.GetManifest, registry.HeadManifest).Digest("*").DropHeader("Docker-Content-Digest"))
	}}
	movedTag    = twin{name: "a tag that points at another image", moved: true, set: func(w *hostileWorld) { w.moveTags(otherImage()) }}
	spacedOut   = movedTo("a manifest with white space", func() content.Content { return largeImage(3000) })
	threeMiB    = movedTo("a manifest of 3 MiB", func() content.Content { return largeImage(3 << 20) })
	withoutType = movedTo("a manifest without mediaType", func() content.Content {
		return changed(otherImage(), `"mediaType": "`+ocispec.MediaTypeImageManifest+`",`, "")
	})
	nested = movedTo("a manifest with an unknown property of nested JSON", func() content.Content {
		return changed(otherImage(), "{", `{"deep":`+strings.Repeat("[", 20)+strings.Repeat("]", 20)+",")
	})
	zippedManifest = twin{name: "a manifest in gzip", set: func(w *hostileWorld) { w.fault(fault.On(registry.GetManifest).Body(fault.Gzip)) }}
	longHeader     = twin{name: "a field of 8 KiB in each header", set: func(w *hostileWorld) { w.padHeaders(8 << 10) }}

	manyTags = twin{name: "a page with 300 tags", other: true, set: func(w *hostileWorld) {
		w.after = append(w.after, func() {
			for _, r := range w.h.base.records {
				if r.Op != registry.ListTags || r.Failed() {
					continue
				}
				w.put(r.Repo, otherImage())
				m, err := w.reg.Store.GetManifest(w.t.Context(), r.Repo, string(otherImage().Digest))
				w.must(err)
				var tags []string
				for i := range 300 {
					tags = append(tags, fmt.Sprintf("hostile-%d", i))
				}
				w.must(w.reg.Store.PutManifest(w.t.Context(), r.Repo, m, tags, nil))
			}
		})
	}}
	referrersTag = twin{name: "referrers at their tag, without the API", set: func(w *hostileWorld) {
		w.options = append(w.options, registry.Without(registry.ListReferrers))
		w.after = append(w.after, w.tagReferrers)
	}}
	invalidBesideValid = twin{name: "a worthless signature beside the valid one", set: func(w *hostileWorld) {
		w.after = append(w.after, func() {
			for _, r := range w.h.base.records {
				if r.Op == registry.ListReferrers && !r.Failed() {
					w.put(r.Repo, w.referrerOf(r.Repo, r.Digest, "1"))
				}
			}
		})
	}}
)

// movedWithin returns a twin in which the registry redirects requests to another
// URL of its own, which asks for the same credentials.
func movedWithin(name string, to func(*http.Request) *url.URL, ops ...registry.Op) twin {
	return twin{name: name, set: func(w *hostileWorld) {
		w.intercept = func(next registry.Handler) registry.Handler {
			return func(rw http.ResponseWriter, r *registry.Request) error {
				if !slices.Contains(ops, r.Op) || r.URL.RawQuery != "" || !authorized(w, r) {
					return next(rw, r)
				}
				u := to(r.Request)
				u.RawQuery = "moved"
				rw.Header().Set("Location", u.String())
				rw.WriteHeader(http.StatusTemporaryRedirect)
				return nil
			}
		}
	}}
}

// relative returns the path of a request as a URL.
func relative(r *http.Request) *url.URL { return &url.URL{Path: r.URL.Path} }

// absolute returns the URL of a request with its scheme and host, but without
// its query.
func absolute(r *http.Request) *url.URL {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return &url.URL{Scheme: scheme, Host: r.Host, Path: r.URL.Path}
}

// movedTo returns a twin in which the tags point at other content from the start.
func movedTo(name string, to func() content.Content) twin {
	return twin{name: name, moved: true, set: func(w *hostileWorld) { w.moveTags(otherImage(), to()) }}
}

// largeImage returns the image of otherImage with a manifest padded with
// spaces to n bytes.
func largeImage(n int) content.Content {
	c := otherImage()
	return content.Raw(c.MediaType, []byte(string(c.Manifest)+strings.Repeat(" ", n-len(c.Manifest))))
}

// changed returns the manifest of an image with the old text replaced by text. It
// panics if the manifest does not contain the old text.
func changed(c content.Content, old, text string) content.Content {
	if !strings.Contains(string(c.Manifest), old) {
		panic(fmt.Sprintf("explore: the manifest has no %q", old))
	}
	return content.Raw(c.MediaType, []byte(strings.Replace(string(c.Manifest), old, text, 1)))
}

// padHeaders adds n bytes to the header of each response to a read, in one field.
// A field larger than 1 MiB has several values.
func (w *hostileWorld) padHeaders(n int) {
	const most = 1 << 20
	padding := slices.Repeat([]string{strings.Repeat("a", min(n, most))}, max(n/most, 1))
	w.intercept = func(next registry.Handler) registry.Handler {
		return func(rw http.ResponseWriter, r *registry.Request) error {
			if !r.Op.Writes() {
				rw.Header()["X-Padding"] = padding
			}
			return next(rw, r)
		}
	}
}

// tagReferrers puts the lists of referrers under their tags, as clients do for
// registries without the referrers API (distribution-spec, Referrers Tag Schema).
func (w *hostileWorld) tagReferrers() {
	for _, r := range w.h.base.records {
		if r.Op != registry.ListReferrers || r.Failed() {
			continue
		}
		index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
		index.SchemaVersion = 2
		for d, err := range w.reg.Store.Referrers(w.t.Context(), r.Repo, r.Digest, "") {
			w.must(err)
			index.Manifests = append(index.Manifests, d)
		}
		text, err := json.Marshal(index)
		w.must(err)
		w.put(r.Repo+":"+strings.Replace(string(r.Digest), ":", "-", 1), content.Raw(index.MediaType, text))
	}
}
