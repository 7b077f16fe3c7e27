package registry_test

import (
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// The tests in this file check which manifests the registry accepts.

// put pushes a manifest to repository app by its digest. If mediaType is not
// empty, it is the Content-Type.
func (t *registryTest) put(m, mediaType string) *httptest.ResponseRecorder {
	t.Helper()
	var header []string
	if mediaType != "" {
		header = []string{"Content-Type", mediaType}
	}
	return t.call("PUT", "/v2/app/manifests/"+string(sum(m)), m, header...)
}

func indexOf(t *registryTest, children ...ocispec.Descriptor) string {
	return toJSON(t, ocispec.Index{Versioned: versioned, MediaType: indexType, Manifests: children})
}

// A child of an index may be a blob, as in the cache of BuildKit before v0.21.
// Image-spec, Image Index: "An encountered mediaType that is unknown to the
// implementation MUST NOT generate an error."
func TestChildOfAnIndexMayBeABlob(t *testing.T) {
	overStores(t, func(t *registryTest) {
		t.pushBlob("app", "layer")
		t.pushBlob("app", "{}")
		image := t.pushImage("app", "v1")
		index := indexOf(t, describe(ocispec.MediaTypeImageLayerGzip, "layer"), describe("application/vnd.buildkit.cacheconfig.v0", "{}"), describe(imageType, image))
		t.want(201, t.call("PUT", "/v2/app/manifests/cache", index, "Content-Type", indexType))
		t.wantPulled("/v2/app/manifests/cache", index)
		t.wantPulled("/v2/app/blobs/"+string(sum("layer")), "layer")
		a := t.wantError(400, t.put(indexOf(t, describe(ocispec.MediaTypeImageLayerGzip, "absent")), indexType), registry.CodeManifestBlobUnknown)
		require.Contains(t, a.Body.String(), string(sum("absent")))
	})
}

// A media type must have the form of RFC 6838, section 4.2, which image-spec
// requires for every mediaType.
func TestMediaTypeMustBeOne(t *testing.T) {
	overStores(t, func(t *registryTest) {
		for _, mediaType := range []string{
			"a\x00b/c", "a b", "é/x", "a/b; q=1", "foo", "a/", "/b", "a/b/c", "*/*", "application/*", "-a/b", strings.Repeat("a", 128) + "/b", "a/b\r\nX: y",
		} {
			m := toJSON(t, map[string]any{"mediaType": mediaType})
			t.wantError(400, t.put(m, ""), registry.CodeManifestInvalid)
			if !strings.Contains(mediaType, ";") { // the registry ignores parameters of Content-Type
				t.wantError(400, t.put("{}", mediaType), registry.CodeManifestInvalid)
			}
			t.want(404, t.call("GET", "/v2/app/manifests/"+string(sum(m)), ""))
		}
		for _, mediaType := range []string{"a/b", "application/vnd.Example.thing+json", "0/!#$&-^_.+", strings.Repeat("a", 127) + "/" + strings.Repeat("b", 127)} {
			m := toJSON(t, map[string]any{"mediaType": mediaType})
			if strings.HasPrefix(mediaType, "0/") { // the subtype begins with neither a letter nor a digit
				t.wantError(400, t.put(m, ""), registry.CodeManifestInvalid)
				continue
			}
			t.want(201, t.put(m, ""))
			require.Equal(t, mediaType, t.wantPulled("/v2/app/manifests/"+string(sum(m)), m).Header().Get("Content-Type"))
		}
	})
}

// With WithAnyManifest, a manifest may have a mediaType that is not valid in a
// header. The registry then serves it as application/octet-stream.
func TestMediaTypeOfAnyManifestIsAField(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := `{"mediaType":"a\u0000b/c"}`
		t.want(201, t.put(m, ""))
		require.Equal(t, "application/octet-stream", t.wantPulled("/v2/app/manifests/"+string(sum(m)), m).Header().Get("Content-Type"))
	}, registry.WithAnyManifest())
}

// Media types are case-insensitive (RFC 9110, section 8.3.1).
func TestCaseOfMediaTypesDoesNotMatter(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.image("app")
		t.want(201, t.put(m, strings.ToUpper(imageType)))
		require.Equal(t, imageType, t.wantPulled("/v2/app/manifests/"+string(sum(m)), m).Header().Get("Content-Type"))
		missing := t.image("app", func(m *ocispec.Manifest) { m.Config.Digest = sum("absent"); m.MediaType = "" })
		t.wantError(400, t.put(missing, "Application/"+strings.TrimPrefix(imageType, "application/")), registry.CodeManifestBlobUnknown)
		upper := strings.Replace(m, imageType, strings.ToUpper(imageType), 1)
		t.want(201, t.put(upper, ""))
		require.Equal(t, imageType, t.wantPulled("/v2/app/manifests/"+string(sum(upper)), upper).Header().Get("Content-Type"))
		// A non-distributable layer need not exist, even if its media type has
		// capitals.
		foreign := t.image("app", func(m *ocispec.Manifest) {
			m.Layers = append(m.Layers, describe("Application/VND.oci.image.layer.nondistributable.v1.tar", "absent"))
		})
		t.want(201, t.put(foreign, imageType))
		// The filter artifactType ignores case.
		t.want(201, t.put(t.image("app", subjectOf(m), func(m *ocispec.Manifest) { m.ArtifactType = "application/SBOM" }), imageType))
		require.Len(t, t.referrers("app", sum(m), "?artifactType=Application/sbom")[0], 1)
	})
}

// A manifest may have unknown properties, but must not have a property twice or a
// known property with a wrong value (image-spec, Considerations: Extensibility,
// JSON).
func TestPropertiesOfManifests(t *testing.T) {
	overStores(t, func(t *registryTest) {
		good := t.image("app")
		with := func(members string) string { return good[:len(good)-1] + "," + members + "}" }
		for _, members := range []string{
			`"MediaType":"x/y"`, `"Annotations":5`, `"blobs":5`, `"LAYERS":[5]`, `"Config":null`, `"Manifests":[]`, `"unknown":{"a":1,"a":2}`,
			`"blobs":[` + toJSON(t, describe("a/b", "absent")) + `]`, `"subject":null`, `"manifests":null`, `"annotations":null`,
		} {
			m := with(members)
			a := t.put(m, imageType)
			require.Equal(t, 201, a.Code, "%s: %s", members, a.Body)
		}
		subject := toJSON(t, describe(imageType, "absent"))
		require.Empty(t, t.want(201, t.put(with(`"SUBJECT":`+subject), imageType)).Header().Values("OCI-Subject"), "the names of properties are case-sensitive")
		for members, message := range map[string]string{
			`"config":{}`:                           `manifest has \"config\" twice`,
			`"\u0063onfig":{}`:                      `manifest has \"config\" twice`,
			`"subject":5`:                           "subject is a number, not an object",
			`"subject":{"digest":"x","digest":"y"}`: `subject has \"digest\" twice`,
			`"annotations":{"a":5}`:                 "annotations is a number, not a string",
			`"annotations":{"a":"b","a":"c"}`:       `annotations has \"a\" twice`,
			`"artifactType":["a"]`:                  "artifactType is an array, not a string",
			`"subject":{"digest":5}`:                "subject.digest is a number, not a string",
			`"subject":{"digest":"sha256:x"}`:       `subject has digest \"sha256:x\": sha256 has 64 characters, not 1`,
			`"manifests":[]`:                        "image manifest has manifests, as only an index does",
			`"subject":{"size":1.5}`:                "subject.size is 1.5, not an integer of 64 bits",
			`"subject":{"urls":"a"}`:                "subject.urls is a string, not an array",
			`"subject":{"urls":[true]}`:             "subject.urls is a boolean, not a string",
			`"subject":` + strings.Replace(subject, `"size":6`, `"size":-1`, 1): "has size -1",
		} {
			a := t.wantError(400, t.put(with(members), imageType), registry.CodeManifestInvalid)
			require.Contains(t, a.Body.String(), message, members)
			require.NotContains(t, a.Body.String(), "valid JSON", members)
		}
		a := t.wantError(400, t.put(good+"{", imageType), registry.CodeManifestInvalid)
		require.Contains(t, a.Body.String(), "manifest is not valid JSON")
	})
}

// In a list of referrers, an index with a config and no artifactType has no
// artifactType. Listing Referrers: "If the artifactType is empty or missing in
// an index, the artifactType MUST be omitted."
func TestReferringIndexWithAConfigHasNoArtifactType(t *testing.T) {
	overStores(t, func(t *registryTest) {
		subject := t.pushImage("app", "v1")
		m := `{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[],"config":` + toJSON(t, describe("a/config", "{}")) + `,"subject":` + toJSON(t, describe(imageType, subject)) + `}`
		t.want(201, t.put(m, indexType))
		a := t.call("GET", "/v2/app/referrers/"+string(sum(subject)), "")
		require.NotContains(t, a.Body.String(), "artifactType")
		require.Contains(t, a.Body.String(), string(sum(m)))
	}, registry.WithAnyManifest())
}

// A repository has one media type for each digest. A push with a different media
// type fails, since it would change the media type of existing tags.
func TestMediaTypeOfATagStays(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := `{"any":"thing"}`
		t.want(201, t.call("PUT", "/v2/app/manifests/v1", m, "Content-Type", "a/one"))
		a := t.wantError(400, t.call("PUT", "/v2/app/manifests/v2", m, "Content-Type", "a/two"), registry.CodeManifestInvalid)
		require.Contains(t, a.Body.String(), "with the media type a/one, not a/two")
		require.Equal(t, "a/one", t.wantPulled("/v2/app/manifests/v1", m).Header().Get("Content-Type"))
		t.want(201, t.call("PUT", "/v2/app/manifests/v2", m, "Content-Type", "a/one"))
		t.want(201, t.call("PUT", "/v2/other/manifests/v2", m, "Content-Type", "a/two"))
	})
}

// The registry refuses signed manifests of schema 1, whose digest is the digest
// of their payload (Docker Registry HTTP API V2, Digest Header).
func TestSignedSchema1IsRefused(t *testing.T) {
	overStores(t, func(t *registryTest) {
		const schema1 = "application/vnd.docker.distribution.manifest.v1+"
		m := `{"schemaVersion":1,"signatures":[{}]}`
		for _, mediaType := range []string{"", schema1 + "json", schema1 + "prettyjws"} {
			a := t.wantError(400, t.put(m, mediaType), registry.CodeManifestInvalid)
			require.Contains(t, a.Body.String(), "signed manifests of Docker's schema 1 are not supported")
		}
		t.want(201, t.put(`{"schemaVersion":1}`, schema1+"json"))
		t.want(201, t.over(registry.WithAnyManifest()).put(m, schema1+"prettyjws"))
	})
}

// A layer with urls need not exist, because clients can download it from these
// URLs (image-spec, Descriptor).
func TestLayerWithURLsNeedNotBeThere(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.image("app", func(m *ocispec.Manifest) {
			d := describe(ocispec.MediaTypeImageLayerGzip, "absent")
			d.URLs = []string{"https://example.com/layer"}
			m.Layers = append(m.Layers, d)
		})
		t.want(201, t.put(m, imageType))
		t.wantError(400, t.put(strings.Replace(m, `"urls":["https://example.com/layer"]`, `"urls":[]`, 1), imageType), registry.CodeManifestBlobUnknown)
	})
}

// In both stores, a manifest cannot be read, deleted or mounted as a blob.
func TestManifestIsNoBlob(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.pushImage("app", "v1")
		for _, method := range []string{"HEAD", "GET", "DELETE"} {
			t.want(404, t.call(method, "/v2/app/blobs/"+string(sum(m)), ""))
		}
		t.want(202, t.call("POST", "/v2/other/blobs/uploads/?from=app&mount="+string(sum(m)), ""))
		t.wantPulled("/v2/app/manifests/v1", m)
		// A manifest that was also pushed as a blob can be read as both.
		t.pushBlob("app", m)
		t.wantPulled("/v2/app/blobs/"+string(sum(m)), m)
		t.wantPulled("/v2/app/manifests/v1", m)
	})
}

func TestManifestsOfAllKinds(t *testing.T) {
	overStores(t, func(t *registryTest) {
		const (
			dockerImage = "application/vnd.docker.distribution.manifest.v2+json"
			dockerList  = "application/vnd.docker.distribution.manifest.list.v2+json"
			schema1     = "application/vnd.docker.distribution.manifest.v1+json"
			artifact    = "application/vnd.oci.artifact.manifest.v1+json"
		)
		image := t.pushImage("app", "image")
		child := toJSON(t, describe(imageType, image))
		config, layer := toJSON(t, describe("a/config", "{}")), toJSON(t, describe("a/layer", "layer"))
		for _, tt := range []struct{ mediaType, content string }{
			{imageType, `{"schemaVersion":2,"config":` + config + `,"layers":[]}`},
			{imageType, `{"schemaVersion":2,"config":` + config + `}`},
			{indexType, `{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[` + child + `]}`},
			{indexType, `{"schemaVersion":2,"manifests":[]}`},
			{dockerImage, `{"schemaVersion":2,"mediaType":"` + dockerImage + `","config":` + config + `,"layers":[` + layer + `]}`},
			{dockerList, `{"schemaVersion":2,"mediaType":"` + dockerList + `","manifests":[` + child + `]}`},
			{schema1, `{"schemaVersion":1,"fsLayers":[{"blobSum":"` + string(sum("not there")) + `"}]}`},
			{schema1, `not even JSON`},
			{artifact, `{"mediaType":"` + artifact + `","artifactType":"a/b","blobs":[` + layer + `]}`},
			{"application/vnd.example.unknown+json", `{"any":["thing"],"layers":[` + toJSON(t, describe("a/b", "not there")) + `]}`},
			{"application/vnd.example.unknown+json", `{"config":{"debug":true},"layers":[{"path":"/"},` + layer + `],"blobs":[{}],"subject":{"name":"x"}}`},
			{"application/vnd.Example.CamelCase+json", `{"mediaType":"application/vnd.Example.CamelCase+json"}`},
		} {
			path := "/v2/app/manifests/" + string(sum(tt.content))
			a := t.call("PUT", path, tt.content, "Content-Type", tt.mediaType)
			require.Equal(t, 201, a.Code, "%s: %s", tt.content, a.Body)
			require.Equal(t, tt.mediaType, t.wantPulled(path, tt.content).Header().Get("Content-Type"))
		}
	})
}

// A client should send a Content-Type. If it does not, the media type follows
// from the content of the manifest.
func TestManifestWithoutContentType(t *testing.T) {
	overStores(t, func(t *registryTest) {
		image := t.image("app")
		for _, tt := range []struct{ content, mediaType string }{
			{image, imageType},
			{strings.Replace(image, `"mediaType":"`+imageType+`",`, "", 1), imageType},
			{`{"schemaVersion":2,"manifests":[]}`, indexType},
			{`{"schemaVersion":1,"fsLayers":[]}`, "application/vnd.docker.distribution.manifest.v1+json"},
			{`{"mediaType":"application/vnd.example+json"}`, "application/vnd.example+json"},
		} {
			path := "/v2/app/manifests/" + string(sum(tt.content))
			t.want(201, t.call("PUT", path, tt.content))
			require.Equal(t, tt.mediaType, t.wantPulled(path, tt.content).Header().Get("Content-Type"))
		}
		t.wantError(400, t.call("PUT", "/v2/app/manifests/v1", `{"schemaVersion":2}`), registry.CodeManifestInvalid)
		t.wantError(400, t.call("PUT", "/v2/app/manifests/v1", image, "Content-Type", "a b"), registry.CodeManifestInvalid)
	})
}

func TestInvalidManifestIsRefused(t *testing.T) {
	overStores(t, func(t *registryTest) {
		good := t.image("app")
		for _, tt := range []struct{ mediaType, content string }{
			{imageType, ""},
			{imageType, " "},
			{imageType, "{"},
			{imageType, "null"},
			{imageType, "[]"},
			{imageType, good + "{}"},
			{imageType, `{"schemaVersion":2}`},
			{imageType, strings.Replace(good, `"schemaVersion":2`, `"schemaVersion":1`, 1)},
			{imageType, strings.Replace(good, imageType, indexType, 1)},
			{imageType, strings.Replace(good, `"sha256:`, `"sha256:x`, 1)},
			{imageType, strings.Replace(good, `"size":2`, `"size":-1`, 1)},
			{imageType, strings.Replace(good, `"layers":`, `"manifests":`, 1)},
			{indexType, good},
			{indexType, strings.Replace(good, imageType, indexType, 1)},
			{"application/vnd.example+json", `{"mediaType":"application/vnd.other+json"}`},
			{"application/vnd.example+json", `junk`},
		} {
			a := t.call("PUT", "/v2/app/manifests/v1", tt.content, "Content-Type", tt.mediaType)
			require.Equal(t, 400, a.Code, "%s: %s", tt.mediaType, tt.content)
			t.wantError(400, a, registry.CodeManifestInvalid)
			t.want(404, t.call("GET", "/v2/app/manifests/v1", ""))
		}
	})
}

// The response to a manifest that names missing blobs or manifests is
// MANIFEST_BLOB_UNKNOWN, as the spec permits (section Push).
func TestManifestOfMissingContentIsRefused(t *testing.T) {
	overStores(t, func(t *registryTest) {
		layers := func(l ...ocispec.Descriptor) func(*ocispec.Manifest) {
			return func(m *ocispec.Manifest) { m.Layers = append(m.Layers, l...) }
		}
		m := t.image("app", layers(describe("a/b", "one"), describe("a/b", "two")), func(m *ocispec.Manifest) { m.Config.Digest = sum("three") })
		a := t.call("PUT", "/v2/app/manifests/v1", m, "Content-Type", imageType)
		t.wantError(400, a, registry.CodeManifestBlobUnknown, registry.CodeManifestBlobUnknown, registry.CodeManifestBlobUnknown)
		for _, missing := range []string{"one", "two", "three"} {
			require.Contains(t, a.Body.String(), `"detail":{"digest":"`+string(sum(missing))+`"}`)
		}
		t.want(404, t.call("GET", "/v2/app/manifests/v1", ""))

		// A blob in another repository counts as missing.
		t.pushBlob("other", "one")
		t.pushBlob("app", "two")
		m = t.image("app", layers(describe("a/b", "one"), describe("a/b", "two")))
		t.wantError(400, t.call("PUT", "/v2/app/manifests/v1", m, "Content-Type", imageType), registry.CodeManifestBlobUnknown)

		index := toJSON(t, ocispec.Index{Versioned: versioned, Manifests: []ocispec.Descriptor{describe(imageType, m), describe(imageType, t.pushImage("app", "v2"))}})
		a = t.wantError(400, t.call("PUT", "/v2/app/manifests/v3", index, "Content-Type", indexType), registry.CodeManifestBlobUnknown)
		require.Contains(t, a.Body.String(), string(sum(m)))

		// A non-distributable layer and the subject may be missing.
		for _, mediaType := range []string{
			"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
			"application/vnd.oci.image.layer.nondistributable.v1.tar",
			"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
		} {
			m = t.image("app", layers(describe(mediaType, "not there")), subjectOf("not there"))
			t.want(201, t.call("PUT", "/v2/app/manifests/foreign", m, "Content-Type", imageType))
		}
	})
}

var versioned = func() (v ocispec.Index) {
	v.SchemaVersion = 2
	return v
}().Versioned

func TestSparseManifestsAreAcceptedIfAskedFor(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := `{"schemaVersion":2,"config":` + toJSON(t, describe("a/b", "c")) + `,"layers":[` + toJSON(t, describe("a/b", "l")) + `]}`
		t.want(201, t.call("PUT", "/v2/app/manifests/v1", m, "Content-Type", imageType))
		index := toJSON(t, ocispec.Index{Versioned: versioned, Manifests: []ocispec.Descriptor{describe(imageType, "x")}})
		t.want(201, t.call("PUT", "/v2/app/manifests/v2", index, "Content-Type", indexType))
		t.wantPulled("/v2/app/manifests/v1", m)
		t.wantPulled("/v2/app/manifests/v2", index)
		t.wantError(400, t.call("PUT", "/v2/app/manifests/v1", "junk", "Content-Type", imageType), registry.CodeManifestInvalid)
	}, registry.WithSparseManifests())
}

func TestAnythingIsAManifestIfAskedFor(t *testing.T) {
	t.Parallel()
	h := inMemory(t, registry.WithAnyManifest())
	for i, tt := range []struct{ contentType, content, served string }{
		{"", "", "application/octet-stream"},
		{"", "junk", "application/octet-stream"},
		{"a b;c", "junk", "a b"},
		{imageType, "{", imageType},
		{imageType, `{"mediaType":"` + indexType + `","schemaVersion":"two"}`, imageType},
		{indexType, `{"manifests":[{"digest":"sha256:nonsense"}]}`, indexType},
		{imageType, `{"config":{"digest":"` + string(sum("not there")) + `"},"layers":[]}`, imageType},
		{"text/plain", "\xff\x00", "text/plain"},
	} {
		path := "/v2/app/manifests/v" + strconv.Itoa(i)
		var header []string
		if tt.contentType != "" {
			header = []string{"Content-Type", tt.contentType}
		}
		h.want(201, h.call("PUT", path, tt.content, header...))
		require.Equal(t, tt.served, h.wantPulled(path, tt.content).Header().Get("Content-Type"))
	}
	// The digest in the path must still match the content.
	h.wantError(400, h.call("PUT", "/v2/app/manifests/"+string(sum("x")), "junk"), registry.CodeDigestInvalid)
}
