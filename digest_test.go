package registry_test

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// Digests with an algorithm that the registry does not compute are valid
// (image-spec, Digests: "Implementations SHOULD allow digests with unrecognized
// algorithms to pass validation"). The registry has no content with such a
// digest, but a subject may have one (distribution spec, Push).
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
			// Pushing blobs: the response is 400 if the client "uses an unsupported
			// algorithm".
			t.wantError(400, t.call("POST", "/v2/app/blobs/uploads/?digest="+strings.ReplaceAll(string(d), "+", "%2B"), "x"), registry.CodeDigestInvalid)
			t.wantError(400, t.finish(t.start("app"), digest.Digest(strings.ReplaceAll(string(d), "+", "%2B")), "x"), registry.CodeDigestInvalid)
			t.wantError(400, t.call("PUT", "/v2/app/manifests/"+string(d), m, "Content-Type", imageType), registry.CodeDigestInvalid)
		}
	})
}

func TestUploadWithOtherAlgorithms(t *testing.T) {
	overStores(t, func(t *registryTest) {
		content := strings.Repeat("content", 10_000)
		half := len(content) / 2
		for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
			d := algorithm.FromString(content)
			for _, announced := range []string{"", "?digest-algorithm=sha256", "?digest-algorithm=sha384", "?digest-algorithm=sha512"} {
				for _, chunked := range []bool{true, false} {
					location := t.want(202, t.call("POST", "/v2/app/blobs/uploads/"+announced, "")).Header().Get("Location")
					rest := content
					if chunked {
						t.want(202, t.chunk(location, 0, content[:half]))
						rest = content[half:]
					}
					a := t.want(201, t.finish(location, d, rest))
					require.Equal(t, string(d), a.Header().Get("Docker-Content-Digest"))
					t.wantPulled("/v2/app/blobs/"+string(d), content)
					t.want(202, t.call("DELETE", "/v2/app/blobs/"+string(d), ""))
				}
			}
			location := t.start("app")
			t.want(202, t.chunk(location, 0, content))
			t.wantError(400, t.finish(location, algorithm.FromString("other"), ""), registry.CodeDigestInvalid)
		}
		for _, algorithm := range []string{"md5", "sha1", "SHA256", "sha256%3A"} {
			t.wantError(400, t.call("POST", "/v2/app/blobs/uploads/?digest-algorithm="+algorithm, ""), registry.CodeDigestInvalid)
		}
	})
}
