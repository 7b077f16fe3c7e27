package profile

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

const (
	containerdDocker = "https://github.com/containerd/containerd/blob/301026e58c619e63d09c0ec411012e54c0124b03/core/remotes/docker/"
	ggcrRemote       = "https://github.com/google/go-containerregistry/blob/3f4ff3ca60f51c876ac4bd89e9a787157aaa4f15/pkg/v1/remote/"
)

// others has the quirks of registries with only one known quirk, and of
// registries that a source does not name. They have no profile; a test uses such
// a quirk alone, or adds it with [With].
var others = site{
	name: "others", title: "Other registries that clients have met", collection: true,
	access: access{scheme: auth.BearerAlways, anonymous: true},
	quirks: []quirk{
		{
			Fact: Fact{
				Name: "redhat.missing-unknown", Sentence: "registry.redhat.io: the error for a missing manifest has the code UNKNOWN and the message Not Found",
				Source: containersImage + "docker/docker_client.go#L1117", Date: "2022", Evidence: EvidenceClient,
				Breaks: []string{
					"error codes are those of the spec",
				},
			},
			do: rewrite(func(_ *registry.Request, e registry.Error) *registry.Error {
				if e.Code != registry.CodeManifestUnknown {
					return nil
				}
				return &registry.Error{Code: "UNKNOWN", Status: http.StatusNotFound, Message: "Not Found"}
			}).deciding("missing manifests"),
			probe: func(p *prober) string {
				p.image("v1")
				return p.get("GET", "v2").code()
			}, want: "404 UNKNOWN",
		},
		{
			Fact: Fact{
				Name: "redhat.manifest-text-plain", Sentence: "registry.access.redhat.com: the Content-Type of a manifest is text/plain",
				Source: containerdDocker + "resolver.go#L224", Date: "2019", Evidence: EvidenceClient,
				Breaks: []string{
					"manifest keeps its Content-Type", "media types are case-insensitive", "parameters of the Content-Type are ignored",
					"tag keeps its Content-Type when the manifest is pushed again",
				},
			},
			do: rule("get-manifest,head-manifest where=found set-header=Content-Type:text/plain").deciding("the Content-Type of manifests"),
			probe: func(p *prober) string {
				p.image("v1")
				return p.get("HEAD", "v1").field("Content-Type")
			}, want: "200, Content-Type: text/plain",
		},
		{
			Fact: Fact{
				Name: "centos.head-manifest-403", Sentence: "registry.centos.org: HEAD of a manifest is 403",
				Source: "https://github.com/containerd/containerd/pull/6684", Date: "2022-03", Evidence: EvidenceIssue,
				Breaks: []string{
					"Content-Type of a manifest has no parameters", "HEAD has Content-Length", "HEAD has Docker-Content-Digest", "HEAD has the Content-Length of GET",
					"HEAD has the header fields of GET", "HEAD of absent content is 404", "HEAD of existing content is 200", "absent repository is 404",
					"conditional GET of current content is 304", "content of an unknown digest algorithm is 404", "deleted manifest and its tags are 404",
					"manifest keeps its Content-Type",
				},
			},
			do: rule("head-manifest status=403").deciding("HEAD of manifests"),
			probe: func(p *prober) string {
				p.image("v1")
				return p.get("HEAD", "v1").only()
			}, want: "403",
		},
		{
			Fact: Fact{
				Name: "others.head-manifest-405", Sentence: "HEAD of a manifest is 405",
				Source: containerdDocker + "resolver.go#L877", Date: "2017-05", Evidence: EvidenceClient,
				Breaks: []string{
					"Content-Type of a manifest has no parameters", "HEAD has Content-Length", "HEAD has Docker-Content-Digest", "HEAD has the Content-Length of GET",
					"HEAD has the header fields of GET", "HEAD of absent content is 404", "HEAD of existing content is 200", "absent repository is 404",
					"conditional GET of current content is 304", "content of an unknown digest algorithm is 404", "deleted manifest and its tags are 404",
					"manifest keeps its Content-Type",
				},
			},
			do: rule("head-manifest status=405").deciding("HEAD of manifests"),
			probe: func(p *prober) string {
				p.image("v1")
				return p.get("HEAD", "v1").only()
			}, want: "405",
		},
		{
			Fact: Fact{
				Name: "istio.head-blob-without-length", Sentence: "registry.istio.io: HEAD of a blob has no Content-Length",
				Source: "https://github.com/distribution/distribution/issues/4895", Date: "2026", Evidence: EvidenceIssue,
				Breaks: []string{
					"HEAD has Content-Length",
				},
			},
			do: rule("head-blob where=found drop-header=Content-Length"),
			probe: func(p *prober) string {
				return p.do("HEAD", p.path("blobs", string(p.push(p.text(20)).Digest)), "").field("Content-Length")
			}, want: "200, no Content-Length",
		},
		{
			Fact: Fact{
				Name: "others.blob-204", Sentence: "the response that ends an upload is 204, not 201",
				Source: containerdDocker + "pusher.go#L546", Date: "2017-08", Evidence: EvidenceClient,
				Breaks: []string{
					"405 has Allow", "429 has Retry-After", "Content-Range of a 206 is true", "Content-Type of a manifest has no parameters",
					"Docker-Content-Digest of a blob matches its content", "HEAD has Content-Length", "HEAD has Docker-Content-Digest",
					"HEAD has the Content-Length of GET", "HEAD has the header fields of GET", "HEAD of absent content is 404", "HEAD of existing content is 200",
					"If-Match and If-None-Match guard a blob from deletion", "If-Match and If-None-Match guard a manifest from deletion",
					"If-Match and If-None-Match guard a tag", "If-Match and If-None-Match guard a tag from deletion", "Link leads to the next repositories",
					"Link leads to the next tags", "absent blob is 404", "absent manifest is 404", "anonymous mount finds the blob",
					"applied filter is confirmed by OCI-Filters-Applied", "blob by digest", "blob has Docker-Content-Digest", "blob in an index is no manifest",
					"blob may be pushed again", "blob of another repository is 404", "catalog lists the repositories", "chunk without Content-Range is appended",
					"conditional GET of current content is 304", "content of an unknown digest algorithm is 404", "deleted blob is 404",
					"deleted manifest and its tags are 404", "deleted referrer is not listed", "deleted tag is 404", "deleting a blob is 202",
					"deleting a manifest is 202", "deleting a tag is 202", "deleting an absent blob is 404", "digest algorithm other than sha256",
					"digest without referrers has an empty list", "each upload has its own session", "error codes are capitals and underscores",
					"error codes are those of the spec", "errors in JSON have their format", "filter may have a plus sign", "finished upload is unknown",
					"image of unknown media types", "index of images", "index of unknown media types", "last works without n",
					"layer of an unknown digest algorithm is accepted or MANIFEST_BLOB_UNKNOWN", "list of tags has the repository name",
					"manifest by a digest other than sha256", "manifest by tag and by digest", "manifest has Docker-Content-Digest",
					"manifest is 201 with the Location of the manifest", "manifest is kept byte by byte", "manifest keeps its Content-Type", "manifest of 4 megabytes",
					"manifest of a missing subject is accepted", "manifest stays when its tag is deleted", "manifest that does not match its digest is refused",
					"manifest with missing content is accepted or MANIFEST_BLOB_UNKNOWN", "manifest without layers", "media type never makes a header malformed",
					"media types are case-insensitive", "minimum chunk size is announced", "mount is 201 with the Location of the blob",
					"mount of an absent blob starts an upload", "mount of an invalid digest starts an upload", "n tags are listed", "n=0 lists no tags",
					"namespace is confirmed by OCI-Namespace", "new referrers are listed", "one range of a blob is 206", "pages of tags are in order",
					"parameters of the Content-Type are ignored", "property SUBJECT is not the subject", "pushed manifest has its digest in Docker-Content-Digest",
					"query never makes a header malformed", "range beyond the end of a blob is 416", "range of zero bytes is 416",
					"referrer has the annotations of its manifest", "referrer has the artifactType of its manifest",
					"referrer without artifactType has the media type of its config", "referrers are 200", "referrers are an index", "referrers are not 404",
					"referrers are of the digest and the repository", "referrers can be filtered", "referrers have the Content-Type of an index",
					"referrers of an invalid digest are 400", "referrers of an unknown digest algorithm", "referring index with a config has no artifactType",
					"repeated If-None-Match is one list", "subject is confirmed by OCI-Subject", "subject of an unknown digest algorithm is accepted",
					"tag keeps its Content-Type when the manifest is pushed again", "tag moves to the last manifest pushed", "tag syntax is enforced",
					"tags after last are listed", "tags are in order", "tags in parameters are confirmed by OCI-Tag", "tags of a repository are 200",
					"tags of a repository without tags are 200", "ten tags in parameters", "two ranges of a blob are 206 or 200",
					"unknown properties of a manifest are ignored", "unknown range unit is ignored", "upload continues after a chunk out of order",
					"upload ends with 201 and the Location of the blob", "upload in chunks ends with 201 and the Location of the blob",
					"warnings are at most 4096 bytes", "warnings have their format",
				},
			},
			do: header(func(_ *registry.Request, status int, h http.Header) int {
				if status != http.StatusCreated {
					return status
				}
				h.Del("Content-Length")
				return http.StatusNoContent
			}, registry.PutUpload),
			probe: func(p *prober) string {
				return p.do("PUT", param(p.start(), "digest", "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"), "x").only()
			}, want: "204",
		},
		{
			Fact: Fact{
				Name: "others.access-token-only", Sentence: "the response of the token service has only the field access_token",
				Source: ggcrRemote + "transport/bearer.go#L352", Date: "2019-10", Evidence: EvidenceClient,
			},
			do:    tokenOnly("access_token"),
			probe: probeTokenFields, want: "200 access_token",
		},
		{
			Fact: Fact{
				Name: "others.manifest-without-type", Sentence: "the response with a manifest has no Content-Type",
				Source: ggcrRemote + "descriptor.go#L120", Date: "2019-03", Evidence: EvidenceClient,
				Breaks: []string{
					"manifest keeps its Content-Type", "media types are case-insensitive", "parameters of the Content-Type are ignored",
					"tag keeps its Content-Type when the manifest is pushed again",
				},
			},
			do: rule("get-manifest,head-manifest where=found drop-header=Content-Type").deciding("the Content-Type of manifests"),
			probe: func(p *prober) string {
				p.image("v1")
				return p.get("HEAD", "v1").field("Content-Type")
			}, want: "200, no Content-Type",
		},
		{
			Fact: Fact{
				Name: "others.wrong-digest", Sentence: "Docker-Content-Digest is not that of the manifest",
				Source: ggcrRemote + "fetcher.go", Date: "2018-08", Evidence: EvidenceClient,
				Breaks: []string{
					"HEAD has Docker-Content-Digest", "manifest has Docker-Content-Digest",
				},
			},
			do: rule("get-manifest,head-manifest where=found set-header=Docker-Content-Digest:sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
			probe: func(p *prober) string {
				p.image("v1")
				return p.get("HEAD", "v1").header.Get("Docker-Content-Digest")[:15]
			}, want: "sha256:e3b0c442",
		},
		{
			Fact: Fact{
				Name: "others.accept-any-404", Sentence: "Accept: */* stands for no media type, so that a manifest is 404",
				Source: "https://github.com/cue-labs/oci/blob/5eb5795f322ad5501a28ecedeb7e9956838fd8a6/ociregistry/ociclient/client.go#L254", Date: "2023-06", Evidence: EvidenceClient,
				Breaks: []string{
					"HEAD has Content-Length", "HEAD has Docker-Content-Digest", "HEAD of existing content is 200", "image of unknown media types", "index of images",
					"index of unknown media types", "manifest is 201 with the Location of the manifest", "manifest of a missing subject is accepted",
					"subject of an unknown digest algorithm is accepted", "tag moves to the last manifest pushed", "unknown properties of a manifest are ignored",
				},
			},
			do: acceptStrict(registry.GetManifest, registry.HeadManifest),
			probe: func(p *prober) string {
				p.image("v1")
				return p.do("GET", p.path("manifests", "v1"), "", "Accept", "*/*").only()
			}, want: "404",
		},
		{
			Fact: Fact{
				Name: "hostile.upload-location", Sentence: "the Location of an upload is at another host, which refuses credentials with 403 (seen in advisories only)",
				Source: "https://nvd.nist.gov/vuln/detail/CVE-2026-50151", Date: "2026", Evidence: EvidenceClient,
			},
			do: together(
				header(func(r *registry.Request, status int, h http.Header) int {
					_, port, err := net.SplitHostPort(r.Host)
					u, err2 := url.Parse(h.Get("Location"))
					if status == http.StatusAccepted && err == nil && err2 == nil {
						h.Set("Location", "http://localhost:"+port+u.RequestURI())
					}
					return status
				}, registry.StartUpload, registry.PostBlob, registry.MountBlob),
				refuse(func(_ *build, r *registry.Request) *registry.Error {
					if !strings.HasPrefix(r.Host, "localhost:") || r.Header.Get("Authorization") == "" {
						return nil
					}
					return &registry.Error{Code: registry.CodeDenied, Message: "the credentials of another host arrived at localhost"}
				}, registry.PatchUpload, registry.PutUpload),
			),
			probe: func(p *prober) string {
				location := p.do("POST", p.path("blobs", "uploads/"), "").header.Get("Location")
				if strings.HasPrefix(location, "http://localhost:") {
					return "another host"
				}
				return "the registry"
			}, want: "another host",
		},
		{
			Fact: Fact{
				Name: "others.redirect-asks", Sentence: "a GET of a blob is redirected to another host, which requires a token of its own",
				Source: "https://github.com/regclient/regclient/pull/805", Date: "2024", Evidence: EvidenceClient,
			},
			do: redirect(storage{status: http.StatusTemporaryRedirect, asks: true, host: "blobs.example.com"}),
			probe: func(p *prober) string {
				r := p.do("GET", p.path("blobs", string(p.push(p.text(20)).Digest)), "")
				return r.only() + ", storage " + p.anonymous("GET", r.header.Get("Location"), "").only()
			}, want: "307, storage 401",
		},
		{
			Fact: Fact{
				Name: "others.chunk-minimum", Sentence: "OCI-Chunk-Min-Length says that all chunks but the last must have at least 2 MiB; a shorter one is 400",
				Source: "https://github.com/regclient/regclient/commit/4b9703d", Date: "2023", Evidence: EvidenceClient,
			},
			do: together(minChunk(2<<20), onResponse(func(_ *registry.Request, status int, h http.Header, note func()) int {
				if h.Get("OCI-Chunk-Min-Length") != "" {
					note()
				}
				return status
			}, registry.StartUpload, registry.PostBlob, registry.MountBlob)),
			probe: func(p *prober) string {
				return p.do("POST", p.path("blobs", "uploads/"), "").field("OCI-Chunk-Min-Length")
			}, want: "202, OCI-Chunk-Min-Length: 2097152",
		},
		{
			Fact: Fact{
				Name: "others.half-chunk-416", Sentence: "only the first 500 bytes of the first chunk arrive: 416 with their Range",
				Source: "https://github.com/regclient/regclient/pull/325", Evidence: EvidenceClient,
			},
			do: rule("patch-upload once keep=500"),
			probe: func(p *prober) string {
				return p.chunk(p.start(), 0, p.text(1000)).field("Range")
			}, want: "416, Range: 0-499",
		},
		{
			Fact: Fact{
				Name: "others.first-manifest-429", Sentence: "the first request for a manifest is 429 with Retry-After: 1",
				Source: "https://github.com/google/go-containerregistry/issues/2111", Date: "2025-06", Evidence: EvidenceIssue,
			},
			do: rule("get-manifest once status=429 retry-after=1"),
			probe: func(p *prober) string {
				p.image("v1")
				return p.get("GET", "v1").field("Retry-After")
			}, want: "429, Retry-After: 1",
		},
		{
			Fact: Fact{
				Name: "github-packages.charset", Sentence: "docker.pkg.github.com: the Content-Type of a manifest has a charset, its ETag is weak, and there is no Docker-Content-Digest",
				Source: "https://github.com/containerd/containerd/issues/3291", Date: "2019", Evidence: EvidenceIssue,
				Breaks: []string{
					"Content-Type of a manifest has no parameters", "HEAD has Docker-Content-Digest", "If-Match and If-None-Match guard a manifest from deletion",
					"If-Match and If-None-Match guard a tag", "If-Match and If-None-Match guard a tag from deletion", "manifest has Docker-Content-Digest",
					"parameters of the Content-Type are ignored",
				},
			},
			do: header(func(_ *registry.Request, status int, h http.Header) int {
				if status != http.StatusOK {
					return status
				}
				h.Set("Content-Type", h.Get("Content-Type")+"; charset=utf-8")
				if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
					h.Set("ETag", "W/"+tag)
				}
				h.Del("Docker-Content-Digest")
				return status
			}, registry.GetManifest, registry.HeadManifest).deciding("the Content-Type of manifests"),
			probe: func(p *prober) string {
				p.image("v1")
				return p.get("HEAD", "v1").field("Content-Type")
			}, want: "200, Content-Type: application/vnd.oci.image.manifest.v1+json; charset=utf-8",
		},
	},
}
