package flatpak_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/flatpak"
)

// An index is the decoded response to a request for the Flatpak index.
type index struct {
	Registry string
	Results  []struct {
		Name   string
		Images []image
		Lists  []struct {
			Tags              []string
			Digest, MediaType string
			Images            []image
		}
	}
}

type image struct {
	Tags                                []string
	Digest, MediaType, OS, Architecture string
	Annotations, Labels                 map[string]string
}

// overStores runs the test with an empty store in memory, and with one on disk.
func overStores(t *testing.T, test func(t *testing.T, store registry.Store)) {
	t.Helper()
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, memstore.New())
	})
	t.Run("layout", func(t *testing.T) {
		t.Parallel()
		store, err := layout.Open(t.TempDir())
		require.NoError(t, err)
		defer store.Close()
		test(t, store)
	})
}

func put(t *testing.T, store registry.Store, ref string, c content.Content) content.Content {
	t.Helper()
	require.NoError(t, content.Put(t.Context(), store, ref, c))
	return c
}

// request sends a request to a registry and returns the response. The header
// consists of pairs of a name and a value.
func request(h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// get requests the index at the target and decodes it.
func get(t *testing.T, h http.Handler, target string, header ...string) (all index) {
	t.Helper()
	w := request(h, "GET", target, header...)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &all))
	return all
}

// names returns a summary of the images in an index. Each is written as
// repository:tags, or as repository:tags/architecture if it is from an image
// index.
func names(all index) string {
	var found []string
	for _, r := range all.Results {
		for _, i := range r.Images {
			found = append(found, r.Name+":"+strings.Join(i.Tags, ","))
		}
		for _, l := range r.Lists {
			for _, i := range l.Images {
				found = append(found, r.Name+":"+strings.Join(l.Tags, ",")+"/"+i.Architecture)
			}
		}
	}
	return strings.Join(found, " ")
}

// app returns an image for the platform with the labels.
func app(platform string, labels map[string]string, parts ...content.ImagePart) content.Content {
	return content.Image(append(parts, content.Platform(platform), content.ImageConfig(ocispec.ImageConfig{Labels: labels}))...)
}

func seed(t *testing.T, store registry.Store) {
	ref := func(name string) map[string]string {
		return map[string]string{"org.flatpak.ref": "app/" + name, "a:b": "1"}
	}
	put(t, store, "team/one:latest", app("linux/amd64", ref("one"), content.Annotation("kind", "game")))
	put(t, store, "team/one:stable", app("linux/amd64", ref("one"), content.Annotation("kind", "game")))
	put(t, store, "team/one:arm", app("linux/arm64", ref("one"), content.Annotation("kind", "tool")))
	put(t, store, "team/plain:latest", app("linux/amd64", nil))
	put(t, store, "team/windows:latest", app("windows/amd64", ref("windows"), content.Docker()))
	put(t, store, "two:latest", content.Index(
		app("linux/amd64", ref("two"), content.Annotation("kind", "game")),
		app("linux/arm64", ref("two"), content.Annotation("kind", "tool")),
	))
	put(t, store, "two:both", content.Index(
		app("linux/amd64", ref("two"), content.Annotation("kind", "game")),
		app("linux/arm64", ref("two"), content.Annotation("kind", "tool")),
	))
}

func TestParameters(t *testing.T) {
	overStores(t, func(t *testing.T, store registry.Store) {
		seed(t, store)
		h := registry.New(store, flatpak.Index())
		for query, want := range map[string]string{
			"":                   "team/one:arm team/one:latest,stable team/plain:latest team/windows:latest two:both,latest/amd64 two:both,latest/arm64",
			"repository=two":     "two:both,latest/amd64 two:both,latest/arm64",
			"repository=none":    "",
			"repository=tw":      "",
			"os=windows":         "team/windows:latest",
			"os=":                "",
			"architecture=arm64": "team/one:arm two:both,latest/arm64",

			// The index lists all tags of an image or an image index if the
			// query selects one of them.
			"tag=stable":          "team/one:latest,stable",
			"tag=both":            "two:both,latest/amd64 two:both,latest/arm64",
			"tag=none":            "",
			"tag=arm&tag=windows": "team/one:arm",

			"label:org.flatpak.ref:exists=1":       "team/one:arm team/one:latest,stable team/windows:latest two:both,latest/amd64 two:both,latest/arm64",
			"label%3Aorg.flatpak.ref%3Aexists=1":   "team/one:arm team/one:latest,stable team/windows:latest two:both,latest/amd64 two:both,latest/arm64",
			"label:org.flatpak.ref=app/windows":    "team/windows:latest",
			"label%3Aorg.flatpak.ref=app%2Ftwo":    "two:both,latest/amd64 two:both,latest/arm64",
			"label:org.flatpak.other:exists=1":     "",
			"label:a:b=1&os=windows":               "team/windows:latest",
			"label:a:b:exists=1&os=windows":        "team/windows:latest",
			"annotation:kind=tool":                 "team/one:arm two:both,latest/arm64",
			"annotation%3Akind%3Aexists=1&tag=arm": "team/one:arm",
			"annotation:org.flatpak.ref:exists=1":  "", // this is a label
			"label:kind:exists=1":                  "",

			// If a parameter is repeated, one of its values must match.
			// Different parameters must all match.
			"repository=two&repository=team/windows":                          "team/windows:latest two:both,latest/amd64 two:both,latest/arm64",
			"architecture=arm64&architecture=amd64&repository=team/one":       "team/one:arm team/one:latest,stable",
			"annotation:kind=tool&annotation:kind=game&repository=team/one":   "team/one:arm team/one:latest,stable",
			"annotation:kind=tool&architecture=amd64":                         "",
			"label:org.flatpak.ref=app/one&label:a:b=1&architecture=amd64":    "team/one:latest,stable",
			"label:org.flatpak.ref=app/one&label:org.flatpak.ref:exists=1":    "team/one:arm team/one:latest,stable",
			"label:org.flatpak.ref=app/one&label:org.flatpak.other:exists=1":  "",
			"color=blue&label=org.flatpak.ref&annotation=kind&repository=two": "two:both,latest/amd64 two:both,latest/arm64",

			// This is a request of Flatpak 1.14.
			"label%3Aorg.flatpak.ref%3Aexists=1&architecture=amd64&os=linux&tag=latest": "team/one:latest,stable two:both,latest/amd64",
		} {
			for _, path := range []string{"/index/static", "/index/dynamic"} {
				if query != "" {
					path += "?" + query
				}
				require.Equal(t, want, names(get(t, h, path)), path)
			}
		}
	})
}

// The index has all properties that Flatpak reads. Its property Registry is the
// path prefix of the registry.
func TestResponse(t *testing.T) {
	overStores(t, func(t *testing.T, store registry.Store) {
		h := registry.New(store, flatpak.Index())
		require.Equal(t, `{"Registry":"/","Results":[]}`, request(h, "GET", "/index/static").Body.String())

		labels := map[string]string{"org.flatpak.ref": "app/org.example.App/x86_64/stable", "org.flatpak.metadata": "[Application]\nname=<a>\n"}
		one := put(t, store, "team/app:v1", app("linux/amd64", labels, content.Annotation("org.example", "x")))
		put(t, store, "team/app:v2", one)
		plain := put(t, store, "team/app:w1", app("linux/arm64", nil, content.Docker()))
		both := put(t, store, "team/app:x1", content.Index(one, plain))
		type m = map[string]any
		image := func(c content.Content, arch string, labels, annotations m, tags ...any) m {
			i := m{"Digest": string(c.Digest), "MediaType": c.MediaType, "OS": "linux", "Architecture": arch, "Labels": labels, "Annotations": annotations}
			if len(tags) > 0 {
				i["Tags"] = tags
			}
			return i
		}
		withLabels := m{"org.flatpak.ref": labels["org.flatpak.ref"], "org.flatpak.metadata": labels["org.flatpak.metadata"]}
		annotations := m{"org.example": "x"}
		want := m{"Registry": "/", "Results": []any{m{
			"Name": "team/app",
			"Images": []any{
				image(one, "amd64", withLabels, annotations, "v1", "v2"),
				image(plain, "arm64", m{}, m{}, "w1"),
			},
			"Lists": []any{m{
				"Tags": []any{"x1"}, "Digest": string(both.Digest), "MediaType": both.MediaType,
				"Images": []any{image(one, "amd64", withLabels, annotations), image(plain, "arm64", m{}, m{})},
			}},
		}}}
		var got m
		require.NoError(t, json.Unmarshal(request(h, "GET", "/index/static").Body.Bytes(), &got))
		require.Equal(t, want, got)

		below := registry.New(store, flatpak.Index(), registry.WithPathPrefix("/below"))
		require.Equal(t, "/below/", get(t, below, "/below/index/static").Registry)
		require.Equal(t, http.StatusNotFound, request(below, "GET", "/index/static").Code)
	})
}

func TestCaching(t *testing.T) {
	overStores(t, func(t *testing.T, store registry.Store) {
		seed(t, store)
		h := registry.New(store, flatpak.Index())
		const target = "/index/static?tag=latest"
		first := request(h, "GET", target)
		header := first.Header()
		require.Equal(t, "no-cache", header.Get("Cache-Control"))
		require.Equal(t, "application/json", header.Get("Content-Type"))
		etag := header.Get("ETag")
		require.Regexp(t, `^"[0-9a-f]{64}"$`, etag)

		again := request(h, "GET", target, "If-None-Match", etag)
		require.Equal(t, http.StatusNotModified, again.Code)
		require.Empty(t, again.Body.String())
		require.Equal(t, etag, again.Header().Get("ETag"))
		require.Equal(t, "no-cache", again.Header().Get("Cache-Control"))

		head := request(h, "HEAD", target)
		require.Equal(t, http.StatusOK, head.Code)
		require.Empty(t, head.Body.String())
		require.Equal(t, header, head.Header())

		put(t, store, "team/three:latest", app("linux/amd64", nil))
		changed := request(h, "GET", target, "If-None-Match", etag)
		require.Equal(t, http.StatusOK, changed.Code)
		require.NotEqual(t, etag, changed.Header().Get("ETag"))

		require.NoError(t, store.DeleteTag(t.Context(), "team/three", "latest"))
		require.Equal(t, http.StatusNotModified, request(h, "GET", target, "If-None-Match", etag).Code)
	})
}

func TestOtherRequests(t *testing.T) {
	t.Parallel()
	h := registry.New(memstore.New(), flatpak.Index())
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		w := request(h, method, "/index/static")
		require.Equal(t, http.StatusMethodNotAllowed, w.Code, method)
		require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
	}
	for _, path := range []string{"/index", "/index/", "/index/static/", "/index/other", "/index/staticx", "/v2/index/static", "/", "/Index/static"} {
		require.Equal(t, http.StatusNotFound, request(h, "GET", path).Code, path)
	}
	for _, query := range []string{"a=%", "a=1;b=2", "tag=" + strings.Repeat("a", 8<<10),
		"label:org.flatpak.ref:exists=0", "label%3Aorg.flatpak.ref%3Aexists=", "annotation:kind:exists=true", "label:a:exists=1&label:a:exists=0"} {
		w := request(h, "GET", "/index/static?"+query)
		require.Equal(t, http.StatusBadRequest, w.Code, query)
		require.Contains(t, w.Body.String(), "the query of the index")
	}
	require.Equal(t, http.StatusNotFound, request(registry.New(memstore.New()), "GET", "/index/static").Code)
}

// The index does not list images that are damaged, or that Flatpak does not
// support.
func TestDamaged(t *testing.T) {
	overStores(t, func(t *testing.T, store registry.Store) {
		var notes []string
		h := registry.New(store, flatpak.Index(), registry.WithRecorder(registry.RecorderFunc(func(x *registry.Exchange) { notes = x.Notes })))
		good := put(t, store, "app:good", app("linux/amd64", nil))
		raw := func(tag, mediaType, text string) digest.Digest {
			m := registry.Manifest{MediaType: mediaType, Digest: digest.FromString(text), Content: []byte(text)}
			require.NoError(t, store.PutManifest(t.Context(), "app", m, []string{tag}, nil))
			return m.Digest
		}
		blob := func(text string) string {
			b := content.Bytes("application/octet-stream", []byte(text))
			require.NoError(t, content.PutBlob(t.Context(), store, "app", b))
			return `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + string(b.Digest) + `","size":1},"layers":[]}`
		}
		damaged := []digest.Digest{
			raw("d1", ocispec.MediaTypeImageManifest, `{`),
			raw("d2", ocispec.MediaTypeImageManifest, `{"schemaVersion":2}`),
			raw("d3", ocispec.MediaTypeImageManifest, blob(`not JSON`)),
			raw("d4", ocispec.MediaTypeImageManifest, blob(`{"config":{"Labels":["a"]}}`)),
			raw("d5", ocispec.MediaTypeImageManifest, strings.Replace(blob(`{"os":"linux"}`), `digest":"sha256:`, `digest":"sha256:aa`, 1)),
			raw("d5b", ocispec.MediaTypeImageManifest, strings.Replace(blob(`{"os":"linux"}`), string(digest.FromString(`{"os":"linux"}`)), string(digest.FromString("missing")), 1)),
			raw("d6", ocispec.MediaTypeImageManifest, blob(`{"os":"`+strings.Repeat("x", 4<<20)+`"}`)),
			raw("d7", ocispec.MediaTypeImageIndex, `{"schemaVersion":2,"manifests":1}`),
			raw("d8", ocispec.MediaTypeImageManifest, strings.Repeat(" ", 4<<20)+blob(`{"os":"linux"}`)),
		}
		raw("other", "application/vnd.example", `{"other":2}`)
		put(t, store, "app:artifact", content.Artifact("application/vnd.example"))
		put(t, store, "app:sha512", app("linux/amd64", nil, content.Algorithm(digest.SHA512)))
		// This image index lists the good image twice, and a missing one.
		text := `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[` +
			`{"mediaType":"` + ocispec.MediaTypeImageManifest + `","digest":"` + string(good.Digest) + `","size":1},` +
			`{"mediaType":"` + ocispec.MediaTypeImageManifest + `","digest":"` + string(good.Digest) + `","size":1},` +
			`{"mediaType":"` + ocispec.MediaTypeImageManifest + `","digest":"` + string(digest.FromString("missing")) + `","size":1}]}`
		raw("list", ocispec.MediaTypeImageIndex, text)

		require.Equal(t, "app:artifact app:good app:list/amd64", names(get(t, h, "/index/static")))
		require.Len(t, notes, len(damaged))
		for _, d := range damaged {
			require.Contains(t, strings.Join(notes, "\n"), "flatpak: app@"+string(d)+" is not in the index: ")
		}
	})
}
