package profile

import (
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// A response that would be the same without the quirk gets no receipt of the
// quirk. The probe of each case describes its last response.
func TestNoReceipt(t *testing.T) {
	t.Parallel()
	missing := string(digest.FromString("missing"))
	mount := func(p *prober) string {
		return p.do("POST", param(param(p.path("blobs", "uploads/"), "mount", missing), "from", p.repo), "").only()
	}
	anonymousMount := func(p *prober) string {
		return p.do("POST", param(p.path("blobs", "uploads/"), "mount", missing), "").only()
	}
	schema1 := func(syntax, more string) probe {
		return func(p *prober) string {
			i := image{text: `{"schemaVersion":1,"name":"app","tag":"v1","fsLayers":[],"history":[]` + more + `}`}
			i.MediaType = "application/vnd.docker.distribution.manifest.v1+" + syntax
			return p.put(i, "v1").only()
		}
	}
	for _, test := range []struct {
		name  string
		quirk Quirk
		probe probe
		want  string
	}{
		{"start", "ecr.chunk-minimum", func(p *prober) string {
			return p.do("POST", p.path("blobs", "uploads/"), "").field("OCI-Chunk-Min-Length")
		}, "202, no OCI-Chunk-Min-Length"},
		{"mount", "ecr.chunk-minimum", mount, "202"},
		{"wrong digest", "ecr.chunk-minimum", func(p *prober) string {
			return p.do("PUT", param(p.start(), "digest", missing), "0123456789").code()
		}, "400 DIGEST_INVALID"},
		{"wrong length", "ecr.chunk-minimum", func(p *prober) string {
			return p.do("PATCH", p.start(), "0123456789", "Content-Range", "0-5").code()
		}, "400 SIZE_INVALID"},
		{"schema 1", "ecr.media-type-required", schema1("json", ""), "201"},
		// A registry without the quirk refuses signed manifests of schema 1,
		// too.
		{"signed schema 1", "ecr.media-type-required", schema1("prettyjws", `,"signatures":[{}]`), "400"},
		{"unknown session", "ghcr.upload-expiry", func(p *prober) string {
			return p.chunk(p.base+p.path("blobs", "uploads/unknown"), 0, "0123456789").code()
		}, "404 BLOB_UPLOAD_UNKNOWN"},
		{"cancelled session", "ghcr.upload-expiry", func(p *prober) string {
			session := p.start()
			p.want(p.do("DELETE", session, ""), "cancelling an upload", http.StatusNoContent)
			return p.do("GET", session, "").code()
		}, "404 BLOB_UPLOAD_UNKNOWN"},
		{"mount", "ecr.mount-referenced", mount, "202"},
		{"mount", "artifactory.no-mount", mount, "202"},
		{"mount without from", "artifactory.no-mount", anonymousMount, "202"},
		{"mount without from", "quay.anonymous-mount-202", anonymousMount, "202"},
		{"a page of one", "quay.page-100", func(p *prober) string {
			p.image("v1")
			p.image("v2")
			r := p.do("GET", p.path("tags", "list")+"?n=1", "")
			require.NotEmpty(t, r.header.Get("Link"))
			return r.only()
		}, "200"},
		{"no manifest", "nexus.head-manifest-404", func(p *prober) string {
			p.image("v1")
			return p.get("HEAD", "v2").only()
		}, "404"},
	} {
		t.Run(string(test.quirk)+" "+test.name, func(t *testing.T) {
			t.Parallel()
			p, reg := newProber(t, test.quirk.Profile())
			got, err := p.run(test.probe)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
			require.NotContains(t, QuirksIn(reg.Requests()), test.quirk, "%v", reg.Requests())
		})
	}
}

// If several quirks of a profile refuse uploads with 400, the receipt names the
// quirk that refused the upload.
func TestReceiptOfRefusal(t *testing.T) {
	t.Parallel()
	p, reg := newProber(t, ECR(Repositories("probe/**")))
	require.Equal(t, "400 BLOB_UPLOAD_INVALID", probeEmptyBlob(p))
	require.Equal(t, []Quirk{"ecr.empty-blob-400"}, QuirksIn(reg.Requests()))

	p, reg = newProber(t, Quirk("others.chunk-minimum").Profile())
	first := p.chunk(p.start(), 0, "0123456789")
	require.Equal(t, "400 SIZE_INVALID", p.chunk(p.location(first), 10, "0123456789").code())
	require.Contains(t, strings.Join(reg.Requests().Last().Notes, " "), "quirk=others.chunk-minimum")
}
