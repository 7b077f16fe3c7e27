package registry_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// The tests in this file check rules of the specs that are easy to overlook.

// put pushes a manifest by its digest.
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

// Image-spec, Image Index: "An encountered mediaType that is unknown to the
// implementation MUST NOT generate an error." The cache of BuildKit before v0.21
// is such an index.
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

// RFC 6838, section 4.2, which image-spec demands for every mediaType.
func TestMediaTypeMustBeOne(t *testing.T) {
	overStores(t, func(t *registryTest) {
		for _, mediaType := range []string{
			"a\x00b/c", "a b", "é/x", "a/b; q=1", "foo", "a/", "/b", "a/b/c", "*/*", "application/*", "-a/b", strings.Repeat("a", 128) + "/b", "a/b\r\nX: y",
		} {
			m := toJSON(t, map[string]any{"mediaType": mediaType})
			t.wantError(400, t.put(m, ""), registry.CodeManifestInvalid)
			if !strings.Contains(mediaType, ";") { // parameters are ignored there
				t.wantError(400, t.put("{}", mediaType), registry.CodeManifestInvalid)
			}
			t.want(404, t.call("GET", "/v2/app/manifests/"+string(sum(m)), ""))
		}
		for _, mediaType := range []string{"a/b", "application/vnd.Example.thing+json", "0/!#$&-^_.+", strings.Repeat("a", 127) + "/" + strings.Repeat("b", 127)} {
			m := toJSON(t, map[string]any{"mediaType": mediaType})
			if strings.HasPrefix(mediaType, "0/") { // a name begins with a letter or a digit
				t.wantError(400, t.put(m, ""), registry.CodeManifestInvalid)
				continue
			}
			t.want(201, t.put(m, ""))
			require.Equal(t, mediaType, t.wantPulled("/v2/app/manifests/"+string(sum(m)), m).Header().Get("Content-Type"))
		}
	})
}

// Every response is well-formed, even if the registry accepts any manifest.
func TestMediaTypeOfAnyManifestIsAField(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := `{"mediaType":"a\u0000b/c"}`
		t.want(201, t.put(m, ""))
		require.Equal(t, "application/octet-stream", t.wantPulled("/v2/app/manifests/"+string(sum(m)), m).Header().Get("Content-Type"))
	}, registry.WithAnyManifest())
}

// Digests of algorithms that this registry does not compute (image-spec,
// Digests: "Implementations SHOULD allow digests with unrecognized algorithms to
// pass validation"; distribution spec, Push: a subject need not be there).
func TestDigestOfAnotherAlgorithm(t *testing.T) {
	overStores(t, func(t *registryTest) {
		for _, d := range []digest.Digest{"blake3:" + digest.Digest(sum("x").Encoded()), "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8", "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564"} {
			desc := ocispec.Descriptor{MediaType: imageType, Digest: d, Size: 1}
			m := t.image("app", func(m *ocispec.Manifest) { m.Subject = &desc })
			a := t.want(201, t.put(m, imageType))
			require.Equal(t, string(d), a.Header().Get("OCI-Subject"))
			listed := t.referrers("app", d, "")
			require.Len(t, listed, 1)
			require.Len(t, listed[0], 1)
			require.Equal(t, sum(m), listed[0][0].Digest)

			layer := t.image("app", func(m *ocispec.Manifest) { m.Layers = append(m.Layers, desc) })
			config := t.image("app", func(m *ocispec.Manifest) { m.Config.Digest = d })
			for m, mediaType := range map[string]string{layer: imageType, config: imageType, indexOf(t, desc): indexType} {
				t.wantError(400, t.put(m, mediaType), registry.CodeManifestBlobUnknown)
				t.want(201, t.over(registry.WithSparseManifests()).put(m, mediaType))
			}
			for _, method := range []string{"GET", "HEAD", "DELETE"} {
				t.want(404, t.call(method, "/v2/app/blobs/"+string(d), ""))
				t.want(404, t.call(method, "/v2/app/manifests/"+string(d), ""))
			}
			// Pushing blobs: 400 if the client "uses an unsupported algorithm".
			t.wantError(400, t.call("POST", "/v2/app/blobs/uploads/?digest="+strings.ReplaceAll(string(d), "+", "%2B"), "x"), registry.CodeDigestInvalid)
			t.wantError(400, t.finish(t.start("app"), digest.Digest(strings.ReplaceAll(string(d), "+", "%2B")), "x"), registry.CodeDigestInvalid)
			t.wantError(400, t.call("PUT", "/v2/app/manifests/"+string(d), m, "Content-Type", imageType), registry.CodeDigestInvalid)
		}
	})
}

// RFC 9110, section 8.3.1: media types are case-insensitive.
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
		// A non-distributable layer need not exist.
		foreign := t.image("app", func(m *ocispec.Manifest) {
			m.Layers = append(m.Layers, describe("Application/VND.oci.image.layer.nondistributable.v1.tar", "absent"))
		})
		t.want(201, t.put(foreign, imageType))
		// The filter of a list of referrers compares media types.
		t.want(201, t.put(t.image("app", subjectOf(m), func(m *ocispec.Manifest) { m.ArtifactType = "application/SBOM" }), imageType))
		require.Len(t, t.referrers("app", sum(m), "?artifactType=Application/sbom")[0], 1)
	})
}

// RFC 9110, sections 13.1.1 and 13.1.2: conditions are for all methods.
func TestDeletionOnACondition(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.pushImage("app", "v1")
		blob := t.pushBlob("app", "x")
		etag, other := `"`+string(sum(m))+`"`, `"`+string(sum("other"))+`"`
		for _, c := range []struct{ path, etag string }{
			{"/v2/app/manifests/v1", etag}, {"/v2/app/manifests/" + string(sum(m)), etag}, {"/v2/app/blobs/" + string(blob), `"` + string(blob) + `"`},
		} {
			for _, header := range [][]string{
				{"If-Match", other}, {"If-Match", "W/" + c.etag}, {"If-None-Match", "*"}, {"If-None-Match", c.etag}, {"If-None-Match", other, "If-None-Match", "W/" + c.etag},
			} {
				a := t.want(412, t.call("DELETE", c.path, "", header...))
				require.NotContains(t, a.Body.String(), "  ")
				t.want(200, t.call("GET", c.path, ""))
			}
			t.want(202, t.call("DELETE", c.path, "", "If-Match", other, "If-Match", c.etag, "If-None-Match", other))
			// Section 13.2.1: a condition does not turn a 404 into a 412.
			t.want(404, t.call("DELETE", c.path, "", "If-Match", c.etag))
		}
	})
}

// The condition still holds at the time of the deletion: a tag that has moved
// is not deleted.
func TestConditionalDeletionIsAtomic(t *testing.T) {
	overStores(t, func(t *registryTest) {
		old, moved := t.pushImage("app", ""), t.pushImage("app", "", annotated("new"))
		for range 20 {
			t.want(201, t.call("PUT", "/v2/app/manifests/v1", old, "Content-Type", imageType))
			var both sync.WaitGroup
			both.Go(func() { t.call("PUT", "/v2/app/manifests/v1", moved, "Content-Type", imageType) })
			both.Go(func() { t.call("DELETE", "/v2/app/manifests/v1", "", "If-Match", `"`+string(sum(old))+`"`) })
			both.Wait()
			t.wantPulled("/v2/app/manifests/v1", moved)
		}
	})
}

// RFC 9110, section 5.3: the lines of a field are one list.
func TestRepeatedConditionsAreOneList(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.pushImage("app", "v1")
		etag := `"` + string(sum(m)) + `"`
		for _, method := range []string{"GET", "HEAD"} {
			t.want(304, t.call(method, "/v2/app/manifests/v1", "", "If-None-Match", `"x"`, "If-None-Match", etag))
			t.want(200, t.call(method, "/v2/app/manifests/v1", "", "If-Match", `"x"`, "If-Match", etag))
		}
	})
}

// RFC 9110, section 5.5: a field has no control characters, even if a request
// or an option does.
func TestFieldsHaveNoControlCharacters(t *testing.T) {
	t.Parallel()
	h := inMemory(t, registry.WithWarnings("a\x00b\x7f"))
	h.pushImage("app", "v1")
	server := httptest.NewServer(h)
	defer server.Close()
	for _, ns := range []string{"%00", "%01", "a%0d%0ab", "%7f"} {
		resp, err := server.Client().Get(server.URL + "/v2/app/manifests/v1?ns=" + ns)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 200, resp.StatusCode)
		require.Empty(t, resp.Header.Values("OCI-Namespace"))
		require.Equal(t, `299 - "a b"`, resp.Header.Get("Warning"))
	}
}

// Image-spec, Considerations: unknown properties give no errors (Extensibility),
// and there are no duplicate names (JSON).
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
		require.Empty(t, t.want(201, t.put(with(`"SUBJECT":`+subject), imageType)).Header().Values("OCI-Subject"), "names have a case")
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

// Listing Referrers: "If the artifactType is empty or missing in an index, the
// artifactType MUST be omitted."
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

// Responses to HEAD and GET have the same header (RFC 9110, section 9.3.2),
// also if they are errors.
func TestErrorsOfHEADAndGETAreAlike(t *testing.T) {
	overStores(t, func(t *registryTest) {
		t.pushImage("app", "v1")
		for _, path := range []string{
			"/v2/app/manifests/v2", "/v2/app/blobs/" + string(sum("x")), "/v2/app/blobs/x", "/v2/nowhere/tags/list", "/v2/app/blobs/uploads/", "/v2/app/blobs/uploads/x",
			"/x", "/v2/App/tags/list", "/v2/app/tags/list?n=x", "/v2/_catalog?n=x", "/v2/app/referrers/x",
		} {
			get, head := t.call("GET", path, ""), t.call("HEAD", path, "")
			require.GreaterOrEqual(t, get.Code, 400)
			require.Equal(t, get.Code, head.Code, path)
			require.Equal(t, get.Header(), head.Header(), path)
			require.Zero(t, head.Body.Len())
		}
	})
}

// RFC 3986 gives + no other meaning in a query; no media type has a space.
func TestFilterWithALiteralPlus(t *testing.T) {
	overStores(t, func(t *registryTest) {
		subject := t.pushImage("app", "v1")
		m := t.image("app", subjectOf(subject), func(m *ocispec.Manifest) { m.ArtifactType = "application/spdx+json" })
		t.want(201, t.put(m, imageType))
		for _, filter := range []string{"application/spdx+json", "application/spdx%2Bjson", "application%2Fspdx%2bjson"} {
			require.Len(t, t.referrers("app", sum(subject), "?artifactType="+filter)[0], 1, filter)
		}
		require.Empty(t, t.referrers("app", sum(subject), "?artifactType=application/spdx")[0])
	})
}

// The registry rejects a malformed query as a whole.
func TestMalformedQueryIsRefused(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.image("app")
		for _, query := range []string{"%zz", "tag=%zz", "tag=a;tag=b", "n=1;last=x"} {
			t.wantError(400, t.call("PUT", "/v2/app/manifests/"+string(sum(m))+"?"+query, m, "Content-Type", imageType), registry.CodeUnsupported)
			t.wantError(400, t.call("GET", "/v2/app/tags/list?"+query, ""), registry.CodeUnsupported)
			t.wantError(400, t.call("GET", "/v2/app/referrers/"+string(sum(m))+"?"+query, ""), registry.CodeUnsupported)
			t.wantError(400, t.call("POST", "/v2/app/blobs/uploads/?"+query, ""), registry.CodeUnsupported)
		}
		t.want(404, t.call("GET", "/v2/app/manifests/"+string(sum(m)), ""))
	})
}

// Registry Proxying has ns on pull operations.
func TestNamespaceOfNoPullIsNotConfirmed(t *testing.T) {
	t.Parallel()
	h := inMemory(t)
	for _, path := range []string{"/v2/", "/v2/_catalog", "/v2/_oci/ext/discover", "/v2/app/blobs/uploads/x", "/x"} {
		require.Empty(t, h.call("GET", path+"?ns=docker.io", "").Header().Values("OCI-Namespace"), path)
	}
}

// Without the endpoint, the response is 404, whatever the method and the
// digest.
func TestEndpointThatIsNotThereIs404(t *testing.T) {
	t.Parallel()
	h := inMemory(t, registry.Without(registry.ListRepositories, registry.ListReferrers, registry.ListExtensions))
	for _, path := range []string{"/v2/_catalog", "/v2/_oci/ext/discover", "/v2/app/_oci/ext/discover", "/v2/app/referrers/" + string(sum("x")), "/v2/app/referrers/x", "/v2/_catalog?n=x"} {
		for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
			h.want(404, h.call(method, path, ""))
		}
	}
}

// A digest has one media type in a repository, so a push does not change the
// type of another tag.
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

// Docker Registry HTTP API V2, Digest Header: the digest of a signed manifest
// is that of its payload. The registry refuses signed manifests.
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

// A closing PUT without a body has no chunk, and its Content-Range says nothing,
// as with other registries (cue's client sends the range of no byte).
func TestClosingPUTWithoutBodyMayHaveAContentRange(t *testing.T) {
	overStores(t, func(t *registryTest) {
		for content, ranges := range map[string][]string{"012345678": {"9-8", "9-9", "0-8"}, "": {"0-0", "0--1"}} {
			for _, r := range ranges {
				location := t.start("app")
				if content != "" {
					t.want(202, t.chunk(location, 0, content))
				}
				t.want(201, t.finish(location, sum(content), "", "Content-Range", r))
				t.wantPulled("/v2/app/blobs/"+string(sum(content)), content)
			}
		}
		// With a body, Content-Range is that of the chunk.
		t.wantError(416, t.finish(t.start("app"), sum("x"), "x", "Content-Range", "1-1"), registry.CodeBlobUploadInvalid)
	})
}

// An empty n counts as absent.
func TestEmptyPageSizeIsNone(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.pushImage("app", "v1")
		for _, path := range []string{"/v2/app/tags/list", "/v2/_catalog", "/v2/app/referrers/" + string(sum(m))} {
			require.Equal(t, t.call("GET", path, "").Body.String(), t.want(200, t.call("GET", path+"?n=", "")).Body.String())
		}
	})
}

// Image-spec, Descriptor: urls are where the content "MAY be downloaded" from.
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

// A request that http.NewRequest makes from a plain reader has ContentLength 0,
// which means that the length is unknown.
func TestBodyOfUnknownLengthOfANewRequest(t *testing.T) {
	overStores(t, func(t *registryTest) {
		send := func(method, target, body string, header ...string) *httptest.ResponseRecorder {
			r, err := http.NewRequest(method, target, struct{ *strings.Reader }{strings.NewReader(body)})
			require.NoError(t, err)
			require.Zero(t, r.ContentLength)
			for i := 0; i < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			w := httptest.NewRecorder()
			t.ServeHTTP(w, r)
			return w
		}
		t.want(201, send("POST", "/v2/app/blobs/uploads/?digest="+string(sum("x")), "x"))
		t.want(201, send("PUT", t.start("app")+"?digest="+string(sum("y")), "y"))
		location := t.start("app")
		t.want(202, send("PATCH", location, "abc", "Content-Range", "0-2"))
		t.want(202, send("PATCH", location, "d"))
		t.want(201, send("PUT", location+"?digest="+string(sum("abcd")), "", "Content-Range", "4-3"))
		m := t.image("app")
		t.want(201, send("PUT", "/v2/app/manifests/v1", m, "Content-Type", imageType))
		t.wantPulled("/v2/app/manifests/v1", m)
		// An explicit Content-Length of 0 is not unknown.
		t.wantError(400, send("POST", "/v2/app/blobs/uploads/?digest="+string(sum("x")), "x", "Content-Length", "0"), registry.CodeSizeInvalid)
	})
}

// Pushing a blob in chunks: "If a chunk is uploaded out of order, the registry
// MUST respond with a 416", also if it does not fit its length.
func TestChunkOutOfOrderThatDoesNotFit(t *testing.T) {
	overStores(t, func(t *registryTest) {
		location := t.start("app")
		t.wantError(416, t.call("PATCH", location, "abc", "Content-Range", "5-9"), registry.CodeBlobUploadInvalid)
		t.wantError(400, t.call("PATCH", location, "abc", "Content-Range", "0-9"), registry.CodeSizeInvalid)
	})
}

// Error messages begin with the words of the spec, which clients look for.
// Details are data.
func TestErrorsBeginWithTheWordsOfTheSpec(t *testing.T) {
	overStores(t, func(t *registryTest) {
		t.pushImage("app", "v1")
		absent := string(sum("absent"))
		for _, c := range []struct {
			method, path, words string
			detail              map[string]any
		}{
			{"GET", "/v2/app/manifests/v2", "manifest unknown: app has no manifest v2", map[string]any{"name": "app", "tag": "v2"}},
			{"GET", "/v2/app/manifests/" + absent, "manifest unknown: ", map[string]any{"name": "app", "digest": absent}},
			{"GET", "/v2/app/blobs/" + absent, "blob unknown: app has no blob " + absent, map[string]any{"name": "app", "digest": absent}},
			{"GET", "/v2/other/tags/list", "name unknown: there is no repository other", map[string]any{"name": "other"}},
			{"GET", "/v2/other/manifests/v1", "name unknown: ", map[string]any{"name": "other"}},
			{"GET", "/v2/App/manifests/v1", "name invalid: ", nil},
			{"GET", "/v2/app/blobs/uploads/x", "blob upload unknown: ", map[string]any{"name": "app", "session": "x"}},
			{"GET", "/v2/app/blobs/x", "digest invalid: ", nil},
			{"PUT", "/v2/app/manifests/v1", "manifest invalid: ", nil},
			{"POST", "/v2/", "unsupported: ", nil},
			{"POST", "/v2/app/blobs/uploads/?digest=" + absent, "digest invalid: ", map[string]any{"digest": absent, "received": string(sum(""))}},
		} {
			a := t.call(c.method, c.path, "")
			var body struct {
				Errors []struct {
					Message string
					Detail  map[string]any
				}
			}
			require.NoError(t, json.Unmarshal(a.Body.Bytes(), &body))
			require.True(t, strings.HasPrefix(body.Errors[0].Message, c.words), "%s %s: %s", c.method, c.path, a.Body)
			require.Equal(t, c.detail, body.Errors[0].Detail, "%s %s", c.method, c.path)
		}
	})
}

func TestWordsOfCodes(t *testing.T) {
	t.Parallel()
	for code, message := range map[registry.Code]string{
		registry.CodeUnauthorized: "unauthorized: no", registry.CodeDenied: "denied: no", registry.CodeTooManyRequests: "too many requests: no",
		registry.CodeManifestBlobUnknown: "manifest blob unknown: no",
	} {
		e := registry.Errorf(code, "%s", "no")
		require.Equal(t, message, e.Message)
		require.EqualError(t, e, string(code)+": no")
	}
	require.EqualError(t, &registry.Error{Code: registry.CodeDenied, Message: "no"}, "DENIED: no")
}

// A manifest is not a blob, in either store.
func TestManifestIsNoBlob(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.pushImage("app", "v1")
		for _, method := range []string{"HEAD", "GET", "DELETE"} {
			t.want(404, t.call(method, "/v2/app/blobs/"+string(sum(m)), ""))
		}
		t.want(202, t.call("POST", "/v2/other/blobs/uploads/?from=app&mount="+string(sum(m)), ""))
		t.wantPulled("/v2/app/manifests/v1", m)
		// A manifest that was also pushed as a blob is.
		t.pushBlob("app", m)
		t.wantPulled("/v2/app/blobs/"+string(sum(m)), m)
		t.wantPulled("/v2/app/manifests/v1", m)
	})
}
