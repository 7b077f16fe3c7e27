package registry_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
	"github.com/ocireg/registry/memstore"
)

// FuzzChunk sends the second chunk of an upload, by PATCH or in the closing PUT,
// with any Content-Range. It compares the status with the spec (Pushing a blob
// in chunks): if a chunk is out of order and has a wrong length, the order
// decides, and a closing PUT without a body has no chunk. The length of the body
// is known, unknown, or 0, as http.NewRequest sets it for a reader of unknown
// length.
func FuzzChunk(f *testing.F) {
	for _, s := range []string{"", "3-5", "3-9", "2-4", "4-6", "0-2", "2-1", "9-8", "0-0", "3-", "-", "a-b", "3-5/9", "bytes 3-5/9", "+3-5", "03-05", "3-9223372036854775807", "9223372036854775808-9"} {
		for _, size := range []uint8{0, 1, 3} {
			for length := range uint8(3) {
				f.Add(s, size, false, length)
				f.Add(s, size, true, length)
			}
		}
	}
	form := regexp.MustCompile(`^([0-9]+)-([0-9]+)$`)
	f.Fuzz(func(t *testing.T, contentRange string, size uint8, closing bool, length uint8) {
		store := memstore.New()
		h := &registryTest{t, registry.New(store), store}
		location := h.start("app")
		h.want(202, h.chunk(location, 0, "abc"))
		body := strings.Repeat("x", int(size))

		method, target, want := "PATCH", location, 202
		if closing {
			method, target, want = "PUT", location+"?digest="+string(sum("abc"+body)), 201
		}
		if contentRange != "" && (!closing || size > 0) {
			m := form.FindStringSubmatch(contentRange)
			first, last := new(big.Int), new(big.Int)
			if m != nil {
				first.SetString(m[1], 10)
				last.SetString(m[2], 10)
			}
			switch {
			case m == nil || !first.IsInt64() || !last.IsInt64() || last.Cmp(first) < 0 || first.Int64() != 3:
				want = 416
			case last.Int64() != 2+int64(size):
				want = 400
			}
		}
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		r.Header["Content-Range"] = []string{contentRange}
		switch length % 3 {
		case 1:
			r.ContentLength = -1
		case 2:
			r.ContentLength = 0
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		h.want(want, w)
		switch want {
		case 201:
			h.wantPulled("/v2/app/blobs/"+string(sum("abc"+body)), "abc"+body)
		case 416:
			require.Equal(t, "0-2", w.Header().Get("Range"))
			require.Equal(t, location, w.Header().Get("Location"))
			h.want(202, h.chunk(location, 3, "def"))
		}
	})
}

// FuzzReferences pushes a manifest that names content with any media type, and
// compares the response with the spec (Push): the registry accepts existing
// content with any media type, and responds with MANIFEST_BLOB_UNKNOWN if
// content is missing that must exist. The subject need not exist, nor a layer
// that has URLs or a non-distributable media type.
func FuzzReferences(f *testing.F) {
	for _, mediaType := range []string{
		"", "a/b", ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageManifest, strings.ToUpper(ocispec.MediaTypeImageManifest),
		"application/vnd.oci.image.layer.nondistributable.v1.tar", "APPLICATION/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "*/*", "a\x00b",
	} {
		for kind := range uint8(4) {
			for content := range uint8(5) {
				f.Add(kind, content, mediaType, false, false)
				f.Add(kind, content, mediaType, true, true)
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind, content uint8, childType string, urls, upper bool) {
		store := memstore.New()
		h := &registryTest{t, registry.New(store), store}
		image := h.pushImage("app", "")
		child := ocispec.Descriptor{MediaType: childType, Size: 5}
		blob, manifestThere := false, false
		switch content % 5 {
		case 0:
			child.Digest, blob = sum("layer"), true
		case 1:
			child.Digest, manifestThere = sum(image), true
		case 2:
			child.Digest = sum("missing")
		case 3:
			child.Digest = digest.Digest("blake3:" + sum("missing").Encoded())
		case 4:
			child.Digest = "multihash+base58:QmRZ"
		}
		if urls {
			child.URLs = []string{"https://example.com/x"}
		}
		list := []ocispec.Descriptor{child}
		config := ocispec.Descriptor{MediaType: "a/b", Digest: sum("{}"), Size: 2}
		version := specs.Versioned{SchemaVersion: 2}
		var mediaType string
		var m any
		there := blob
		switch kind % 4 {
		case 0:
			mediaType, m = ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: version, Manifests: list}
			there = blob || manifestThere
		case 1:
			mediaType, m = ocispec.MediaTypeImageManifest, ocispec.Manifest{Versioned: version, Config: config, Layers: list}
			text, err := json.Marshal(childType)
			require.NoError(t, err)
			lower := strings.ToLower(string(text))
			there = there || urls || strings.HasPrefix(lower, `"application/vnd.oci.image.layer.nondistributable.`) ||
				strings.HasPrefix(lower, `"application/vnd.docker.image.rootfs.foreign.`)
		case 2:
			mediaType, m = manifest.DockerManifest, ocispec.Manifest{Versioned: version, Config: child, Layers: []ocispec.Descriptor{}}
		case 3:
			// The registry accepts a missing subject.
			mediaType, m = ocispec.MediaTypeImageManifest, ocispec.Manifest{Versioned: version, Config: config, Layers: []ocispec.Descriptor{}, Subject: &child}
			there = true
		}
		if upper {
			mediaType = strings.ToUpper(mediaType)
		}
		text, err := json.Marshal(m)
		require.NoError(t, err)
		w := h.call("PUT", "/v2/app/manifests/v1", string(text), "Content-Type", mediaType)
		if !there {
			h.wantError(400, w, registry.CodeManifestBlobUnknown)
			return
		}
		h.want(201, w)
		h.wantPulled("/v2/app/manifests/v1", string(text))
		if kind%4 == 3 {
			referrers := h.referrers("app", child.Digest, "")
			require.Equal(t, sum(string(text)), referrers[0][len(referrers[0])-1].Digest)
		}
		if blob {
			h.want(404, h.call("GET", fmt.Sprintf("/v2/app/manifests/%s", child.Digest), ""))
		}
	})
}
