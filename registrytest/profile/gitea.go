package profile

import (
	"net/http"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// Gitea returns the profile of the container registry of Gitea and Forgejo.
func Gitea(opts ...Option) *Profile { return gitea.profile(gitea.name, opts) }

const (
	giteaReport = conformanceReports + "v1.0/gitea/report.html"
	giteaSource = "https://github.com/go-gitea/gitea/blob/9548a9a28f924e8d46a13ebcb8730643e2d79ca2/routers/api/packages/container/"
)

var gitea = site{
	name: "gitea", title: "Gitea",
	access: access{scheme: auth.BearerAlways, anonymous: true, service: "container_registry", path: "/v2/token"},
	quirks: []quirk{
		{
			Fact: Fact{
				Name: "gitea.challenge", Sentence: "every challenge has the scope *, and one token covers all repositories",
				Source: giteaReport, Date: "2024-09", Evidence: EvidenceTrace,
			},
			do:    together(rewrittenChallenge(`Bearer realm="<registry>/v2/token",service="container_registry",scope="*"`), coversEverything()),
			probe: probeChallenge, want: `401, WWW-Authenticate: Bearer realm="<registry>/v2/token",service="container_registry",scope="*"`,
		},
		{
			Fact: Fact{
				Name: "gitea.challenge-both", Sentence: "Forgejo has Bearer and Basic in one header",
				Source: renovateDocker + "common.ts#L172", Date: "2026-03", Evidence: EvidenceClient,
			},
			setting: true,
			do:      together(rewrittenChallenge(`Bearer realm="<registry>/v2/token",service="container_registry",scope="*",Basic realm="<registry>/v2",service="container_registry",scope="*"`), coversEverything()),
			probe: func(p *prober) string {
				_, second, _ := strings.Cut(probeChallenge(p), ",Basic ")
				return second
			}, want: `realm="<registry>/v2",service="container_registry",scope="*"`,
		},
		{
			Fact: Fact{
				Name: "gitea.token-only", Sentence: "the response of the token service has only the field token",
				Source: giteaSource + "container.go", Evidence: EvidenceCode,
			},
			do:    tokenOnly("token"),
			probe: probeTokenFields, want: "200 token",
		},
		{
			Fact: Fact{
				Name: "gitea.token-get-only", Sentence: "a POST to the token service is 404 without a body",
				Source: "https://github.com/go-gitea/gitea/blob/00659c47ca6e6a1dd2b66dfc0e2c1cb521cb95be/routers/api/packages/container/container.go", Evidence: EvidenceCode,
			},
			do:    aboutAuth(rule("token method=POST status=404 body=empty")).deciding("POST of tokens"),
			probe: probeTokenPost, want: "404, no code",
		},
		{
			Fact: Fact{
				Name: "gitea.empty-messages", Sentence: "the message of an error is empty",
				Source: giteaReport, Date: "2024-09", Evidence: EvidenceTrace,
			},
			do: rewrite(func(_ *registry.Request, e registry.Error) *registry.Error {
				if e.Message == "" {
					return nil
				}
				e.Message = ""
				return &e
			}),
			probe: func(p *prober) string {
				p.image("v1")
				r := p.get("GET", "v2")
				if strings.Contains(r.body, `"message":"`) {
					return r.code() + " with a message"
				}
				return r.code()
			}, want: "404 MANIFEST_UNKNOWN",
		},
		{
			Fact: Fact{
				Name: "gitea.stream-after-data-400", Sentence: "a PATCH without Content-Range is 400 if the upload already has bytes",
				Source: giteaSource + "container.go", Evidence: EvidenceCode,
			},
			do: uploadHasBytes(func(r *registry.Request) *registry.Error {
				if r.Header.Get("Content-Range") != "" {
					return nil
				}
				return &registry.Error{Code: registry.CodeBlobUploadInvalid, Message: "Stream uploads after first write are not allowed"}
			}),
			probe: func(p *prober) string {
				first := p.do("PATCH", p.start(), "0123456789", "Content-Type", "application/octet-stream")
				return p.do("PATCH", p.location(first), "0123456789", "Content-Type", "application/octet-stream").code()
			}, want: "400 BLOB_UPLOAD_INVALID",
		},
		{
			Fact: Fact{
				Name: "gitea.upload-status", Sentence: "the status of an upload had a Range with one byte too many, and no Location",
				Source: "https://github.com/go-gitea/gitea/pull/34725", Date: "2025-06", Until: "2025-07", Evidence: EvidenceCode,
				Breaks: []string{
					"status of an upload is 204 with Location and Range", "upload continues after a chunk out of order",
				},
			},
			do:    rangeIsCount(""),
			probe: probeUploadStatus, want: "204, Range: 0-10, no Location",
		},
		{
			Fact: Fact{
				Name: "gitea.no-ranges", Sentence: "the Range of a request for a blob is ignored",
				Source: giteaSource + "container.go", Evidence: EvidenceCode,
			},
			do: without(registry.Ranges, func(r *registry.Request, status int, _ http.Header) bool {
				return r.Header.Get("Range") != "" && status == http.StatusOK
			}, registry.GetBlob),
			probe: func(p *prober) string {
				return p.do("GET", p.path("blobs", string(p.push(p.text(20)).Digest)), "", "Range", "bytes=0-4").only()
			}, want: "200",
		},
		{
			Fact: Fact{
				Name: "gitea.head-blob-without-type", Sentence: "the response to HEAD of a blob has no Content-Type",
				Source: giteaReport, Date: "2024-09", Evidence: EvidenceTrace,
				Breaks: []string{
					"HEAD has the header fields of GET",
				},
			},
			do: rule("head-blob where=found drop-header=Content-Type"),
			probe: func(p *prober) string {
				return p.do("HEAD", p.path("blobs", string(p.push(p.text(20)).Digest)), "").field("Content-Type")
			}, want: "200, no Content-Type",
		},
		{
			Fact: Fact{
				Name: "gitea.manifest-location", Sentence: "the Location of a manifest that was pushed has its tag, not its digest",
				Source: giteaReport, Date: "2024-09", Evidence: EvidenceTrace,
			},
			do: header(func(r *registry.Request, status int, h http.Header) int {
				if i := strings.LastIndexByte(h.Get("Location"), '/'); status == http.StatusCreated && r.Tag != "" {
					h.Set("Location", h.Get("Location")[:i+1]+r.Tag)
				}
				return status
			}, registry.PutManifest).deciding("the Location of manifests"),
			probe: func(p *prober) string {
				_, last, _ := strings.Cut(p.put(p.build(nil), "v1").header.Get("Location"), p.repo)
				return last
			}, want: "/manifests/v1",
		},
		{
			Fact: Fact{
				Name: "gitea.manifest-limit", Sentence: "a manifest may have at most 10 MiB",
				Source: giteaSource + "container.go", Evidence: EvidenceCode,
			},
			do: option("the manifest limit", registry.WithManifestLimit(10<<20), func(r *registry.Request, status int, _ http.Header) bool {
				return status == http.StatusCreated && r.ContentLength > 4<<20
			}, registry.PutManifest),
			probe: func(p *prober) string {
				i := p.build(nil)
				i.text += strings.Repeat(" ", 5<<20)
				return p.put(i, "v1").only()
			}, want: "201",
		},
		{
			Fact: Fact{
				Name: "gitea.no-nested-indexes", Sentence: "the children of an index are image manifests; any other child is 400 MANIFEST_INVALID",
				Source: "https://github.com/go-gitea/gitea/issues/25846", Evidence: EvidenceCode,
				Breaks: []string{
					"index of unknown media types",
				},
			},
			do: refuseManifest(func(_ *build, _ *registry.Request, d document) *registry.Error {
				for _, child := range d.Manifests {
					if child.MediaType != ocispec.MediaTypeImageManifest && child.MediaType != "application/vnd.docker.distribution.manifest.v2+json" {
						return &registry.Error{Code: registry.CodeManifestInvalid}
					}
				}
				return nil
			}).deciding("layers in indexes"),
			probe: func(p *prober) string {
				inner := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{p.image("v1").Descriptor}}
				inner.SchemaVersion = 2
				i := p.encode(inner, inner.MediaType)
				p.want(p.put(i, string(i.Digest)), "pushing an index", http.StatusCreated)
				inner.Manifests = []ocispec.Descriptor{i.Descriptor}
				return p.put(p.encode(inner, inner.MediaType), "v2").code()
			}, want: "400 MANIFEST_INVALID",
		},
		{
			Fact: Fact{
				Name: "gitea.manifest-types", Sentence: "the media type of a manifest begins with application/vnd.docker or application/vnd.oci",
				Source: giteaSource + "manifest.go", Evidence: EvidenceCode,
				Breaks: []string{
					"media types are case-insensitive",
				},
			},
			do:    onlyManifests(mediaTypes("application/vnd.docker.*", "application/vnd.oci.*"), http.StatusBadRequest, ""),
			probe: probeManifestType("application/vnd.example.manifest+json"), want: "400 MANIFEST_INVALID",
		},
		{
			Fact: Fact{
				Name: "gitea.blob-unknown", Sentence: "a manifest whose blob is missing is 404 BLOB_UNKNOWN",
				Source: giteaSource + "manifest.go", Evidence: EvidenceCode,
				Breaks: []string{
					"layer of an unknown digest algorithm is accepted or MANIFEST_BLOB_UNKNOWN", "manifest with missing content is accepted or MANIFEST_BLOB_UNKNOWN",
				},
			},
			do:    recode(registry.CodeManifestBlobUnknown, registry.CodeBlobUnknown, http.StatusNotFound, registry.PutManifest),
			probe: probeMissingBlob, want: "404 BLOB_UNKNOWN",
		},
		{
			Fact: Fact{
				Name: "gitea.link-always", Sentence: "every page of tags/list that is not empty has a Link, even the last one",
				Source: giteaReport, Date: "2024-09", Evidence: EvidenceTrace,
				Breaks: []string{
					"n=0 lists no tags",
				},
			},
			do: alwaysLink(),
			probe: func(p *prober) string {
				p.image("v1")
				return p.local(p.do("GET", p.path("tags", "list"), "").field("Link"))
			}, want: `200, Link: </v2/<repo>/tags/list?last=v1>; rel="next"`,
		},
		{
			Fact: Fact{
				Name: "gitea.blob-redirect", Sentence: "where the storage has URLs, a GET of a blob is redirected with 307, with its digest on the redirect",
				Source: giteaSource + "container.go", Evidence: EvidenceCode,
				Breaks: []string{
					"Content-Range of a 206 is true", "If-Match and If-None-Match guard a blob from deletion", "blob has Docker-Content-Digest",
					"conditional GET of current content is 304", "namespace is confirmed by OCI-Namespace", "range of zero bytes is 416",
					"repeated If-None-Match is one list", "unknown range unit is ignored",
				},
			},
			setting: true,
			do:      redirect(storage{status: http.StatusTemporaryRedirect, digest: true, refuses: true}),
			probe:   probeBlobRedirect("GET"), want: "307, storage 200",
		},
		{
			Fact: Fact{
				Name: "gitea.no-referrers", Sentence: "there is no referrers API: 404 (inferred from the source)",
				Source: giteaSource + "container.go", Evidence: EvidenceCode,
			},
			do:    withoutReferrers(),
			probe: probeReferrers, want: "404 UNSUPPORTED",
		},
		{
			Fact: Fact{
				Name: "gitea.sha256-only", Sentence: "blobs are stored by their sha256 digests only",
				Source: giteaSource + "container.go", Evidence: EvidenceCode,
			},
			do:    sha256Only(),
			probe: probeSHA512, want: "400",
		},
		{
			Fact: Fact{
				Name: "gitea.tags-in-small-letters", Sentence: "a tag is stored in lower case",
				Source: giteaSource + "manifest.go", Evidence: EvidenceCode,
				Breaks: []string{
					"pages of tags are in order", "tags are in order",
				},
			},
			do: behaviour{{build: func(b *build, q *quirk) {
				b.addFault(nil, func(r *registry.Request) *registry.Fault {
					if r.Tag == strings.ToLower(r.Tag) {
						return nil
					}
					return &registry.Fault{Quirk: true, Before: func(r *registry.Request) error {
						r.Note(q.receipt())
						r.Tag = strings.ToLower(r.Tag)
						return nil
					}}
				})
			}}},
			probe: func(p *prober) string {
				p.image("V1")
				return probeListed(p)
			}, want: `["v1"]`,
		},
	},
}
