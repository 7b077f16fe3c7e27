package profile

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// ECR returns the profile of Amazon Elastic Container Registry with private
// repositories, which must exist before a push; see [Repositories].
func ECR(opts ...Option) *Profile { return ecr.profile(ecr.name, opts) }

var ecr = site{
	name: "ecr", title: "Amazon ECR",
	access: access{scheme: auth.Basic, basic: true, user: "AWS"},
	quirks: []quirk{
		{
			Fact: Fact{
				Name: "ecr.challenge", Sentence: "the challenge is Basic, with a realm and a service like those of Bearer",
				Source: "https://github.com/renovatebot/renovate/blob/c2dd4f856f068eeda4c10afc3752c35fe1f6cab1/lib/modules/datasource/docker/common.ts#L169", Date: "2022-02", Evidence: EvidenceClient,
			},
			do:    rewrittenChallenge(`Basic realm="<registry>/",service="ecr.amazonaws.com"`),
			probe: probeChallenge, want: `401, WWW-Authenticate: Basic realm="<registry>/",service="ecr.amazonaws.com"`,
		},
		{
			Fact: Fact{
				Name: "ecr.repository-must-exist", Sentence: "a push to a repository that does not exist is 404 NAME_UNKNOWN",
				Source: "https://github.com/aws-actions/amazon-ecr-login/issues/166", Date: "2021-05", Evidence: EvidenceIssue,
			},
			do: refuse(func(b *build, r *registry.Request) *registry.Error {
				if r.Op == registry.PostBlob && r.ContentLength != 0 || b.hasRepository(r, r.Repo) {
					return nil
				}
				return &registry.Error{
					Code:    registry.CodeNameUnknown,
					Message: fmt.Sprintf("name unknown: The repository with name '%s' does not exist in the registry with id '123456789012'", r.Repo),
				}
			}, registry.StartUpload, registry.PostBlob, registry.MountBlob, registry.PutManifest).deciding(missingRepositories),
			probe: probePushTo(absent), want: "404 NAME_UNKNOWN",
		},
		{
			Fact: Fact{
				Name: "ecr.missing-repository-eof", Sentence: "a POST with a body to a repository that does not exist gets no response: the registry closes the connection",
				Source: roadmap + "1970", Date: "2023-03", Evidence: EvidenceIssue,
			},
			do: ruleIf("post-blob close", func(b *build, r *registry.Request) bool {
				return r.ContentLength != 0 && !b.hasRepository(r, r.Repo)
			}),
			probe: func(p *prober) string {
				missing := *p
				missing.repo = p.absent
				if _, err := missing.run(probeSinglePost); err != nil {
					return "no response"
				}
				return "a response"
			}, want: "no response",
		},
		{
			Fact: Fact{
				Name: "ecr.tags-n-1000", Sentence: "tags/list and the catalog with n above 1000 are 405 UNSUPPORTED",
				Source: "https://github.com/google/go-containerregistry/issues/681", Date: "2020-03", Evidence: EvidenceIssue,
			},
			do: refuse(func(_ *build, r *registry.Request) *registry.Error {
				if n, err := strconv.Atoi(r.URL.Query().Get("n")); err != nil || n <= 1000 {
					return nil
				}
				return &registry.Error{
					Code:    registry.CodeUnsupported,
					Message: "Invalid parameter at 'maxResults' failed to satisfy constraint: 'Member must have value less than or equal to 1000'",
				}
			}, registry.ListTags, registry.ListRepositories),
			probe: func(p *prober) string {
				p.image("v1")
				return p.do("GET", p.path("tags", "list")+"?n=10000", "").code()
			}, want: "405 UNSUPPORTED",
		},
		{
			Fact: Fact{
				Name: "ecr.tag-get-without-digest", Sentence: "a GET of a manifest by its tag has no Docker-Content-Digest; HEAD has it",
				Source: "https://github.com/cue-labs/oci/blob/5eb5795f322ad5501a28ecedeb7e9956838fd8a6/ociregistry/ociclient/reader.go#L147", Date: "2024-02", Evidence: EvidenceClient,
				Breaks: []string{
					"HEAD has the header fields of GET", "manifest has Docker-Content-Digest",
				},
			},
			do: header(func(r *registry.Request, status int, h http.Header) int {
				if r.Tag != "" {
					h.Del("Docker-Content-Digest")
				}
				return status
			}, registry.GetManifest),
			probe: func(p *prober) string {
				p.image("v1")
				return p.get("GET", "v1").field("Docker-Content-Digest")
			}, want: "200, no Docker-Content-Digest",
		},
		{
			Fact: Fact{
				Name: "ecr.illegal-tag-400", Sentence: "HEAD of a manifest by a tag that is not valid is 400",
				Source: "https://github.com/bazel-contrib/rules_oci/issues/720", Date: "2024-10", Evidence: EvidenceIssue,
			},
			do: rewrite(func(r *registry.Request, e registry.Error) *registry.Error {
				if r.Op != registry.HeadManifest || e.Code != registry.CodeManifestUnknown || r.Tag != "" || r.Digest != "" {
					return nil
				}
				return &registry.Error{Code: registry.CodeManifestInvalid, Message: e.Message}
			}),
			probe: func(p *prober) string {
				p.image("v1")
				return p.get("HEAD", strings.Repeat("x", 200)).only()
			}, want: "400",
		},
		{
			Fact: Fact{
				Name: "ecr.chunk-minimum", Sentence: "all chunks but the last must have at least 5 MiB; the registry does not announce this",
				Source: "https://docs.amazonaws.cn/en_us/AmazonECR/latest/userguide/service-quotas.html", Evidence: EvidenceVendor,
				Breaks: []string{
					"chunk is 202 with Location and Range", "minimum chunk size is announced", "status of an upload is 204 with Location and Range",
					"upload continues after a chunk out of order", "upload in chunks ends with 201 and the Location of the blob",
				},
			},
			do: together(
				minChunk(5<<20),
				// A missing OCI-Chunk-Min-Length does not affect a client, so it
				// gets no receipt.
				onResponse(func(_ *registry.Request, status int, h http.Header, _ func()) int {
					h.Del("OCI-Chunk-Min-Length")
					return status
				}, registry.StartUpload, registry.PostBlob, registry.MountBlob),
			),
			probe: func(p *prober) string {
				r := p.chunk(p.start(), 0, "0123456789")
				return p.chunk(p.location(r), 10, "0123456789").only()
			}, want: "400",
		},
		{
			Fact: Fact{
				Name: "ecr.patch-201", Sentence: "the response to a chunk is 201, not 202",
				Source: "https://github.com/regclient/regclient/blob/725072f65f14ab63d6b220246c3a889dcd5e2f5f/scheme/reg/blob.go#L540", Date: "2021-12", Evidence: EvidenceClient,
				Breaks: []string{
					"cancelled upload is unknown", "cancelling an upload is 204", "chunk is 202 with Location and Range", "chunk out of order is 416",
					"chunk out of order is 416 whatever its length", "chunk without Content-Range is appended", "final chunk out of order is 416",
					"finished upload is unknown", "minimum chunk size is announced", "status of an upload is 204 with Location and Range",
					"upload continues after a chunk out of order", "upload in chunks ends with 201 and the Location of the blob",
				},
			},
			do: header(func(_ *registry.Request, status int, _ http.Header) int {
				if status == http.StatusAccepted {
					return http.StatusCreated
				}
				return status
			}, registry.PatchUpload),
			probe: func(p *prober) string { return p.chunk(p.start(), 0, "0123456789").only() }, want: "201",
		},
		{
			Fact: Fact{
				Name: "ecr.range-frozen", Sentence: "the Range of the responses to chunks stays that of the first, although the others are stored",
				Source: roadmap + "2831", Date: "2026-06", Evidence: EvidenceConflicting,
				Breaks: []string{
					"chunk is 202 with Location and Range",
				},
			},
			do: frozenRange(),
			probe: func(p *prober) string {
				first := p.chunk(p.start(), 0, strings.Repeat("0", 5<<20))
				second := p.chunk(p.location(first), 5<<20, "0123456789")
				return first.header.Get("Range") + ", " + second.header.Get("Range")
			}, want: "0-5242879, 0-5242879",
		},
		{
			Fact: Fact{
				Name: "ecr.upload-status-404", Sentence: "the status of an upload session is 404, although it exists",
				Source: "https://github.com/dotnet/sdk/pull/33019", Date: "2023-06", Evidence: EvidenceIssue,
				Breaks: []string{
					"status of an upload is 204 with Location and Range", "upload continues after a chunk out of order",
				},
			},
			do:    rule("get-upload status=404 code=BLOB_UPLOAD_UNKNOWN"),
			probe: func(p *prober) string { return p.do("GET", p.start(), "").only() }, want: "404",
		},
		{
			Fact: Fact{
				Name: "ecr.empty-blob-400", Sentence: "an empty blob is 400 BLOB_UPLOAD_INVALID",
				Source: "https://github.com/devcontainers/cli/issues/814", Date: "2024", Evidence: EvidenceIssue,
				Breaks: []string{
					"Content-Range of a 206 is true",
				},
			},
			do:    emptyBlob400("The layer upload does not have any parts"),
			probe: probeEmptyBlob, want: "400 BLOB_UPLOAD_INVALID",
		},
		{
			Fact: Fact{
				Name: "ecr.mount-referenced", Sentence: "a blob can be mounted only if an image in its repository refers to it; otherwise 202",
				Source: roadmap + "2860", Date: "2026-08", Evidence: EvidenceIssue,
				Breaks: []string{
					"mount is 201 with the Location of the blob",
				},
			},
			do: mountIf(func(_ *build, r *registry.Request) bool { return isReferenced(r, r.From, r.Digest) }),
			probe: func(p *prober) string {
				layer := p.push(p.text(20))
				p.image("other")
				return p.do("POST", param(param(p.path("blobs", "uploads/"), "mount", string(layer.Digest)), "from", p.repo), "").only()
			}, want: "202",
		},
		{
			Fact: Fact{
				Name: "ecr.blob-redirect", Sentence: "a GET of a blob is redirected with 307 to S3, which refuses credentials with 400 and XML",
				Source: "https://github.com/open-policy-agent/opa/issues/6580", Date: "2024-02", Evidence: EvidenceIssue,
				Breaks: []string{
					"Content-Range of a 206 is true", "If-Match and If-None-Match guard a blob from deletion", "blob has Docker-Content-Digest",
					"conditional GET of current content is 304", "namespace is confirmed by OCI-Namespace", "range of zero bytes is 416",
					"repeated If-None-Match is one list", "unknown range unit is ignored",
				},
			},
			do:    redirect(storage{host: "prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com", status: http.StatusTemporaryRedirect, refuses: true}),
			probe: probeBlobRedirect("GET", "Authorization", "Basic QVdTOng="), want: "307, storage 400",
		},
		{
			Fact: Fact{
				Name: "ecr.media-type-required", Sentence: "an OCI manifest without mediaType is 405 UNSUPPORTED",
				Source: "https://github.com/falcosecurity/falcoctl/issues/302", Date: "2023-06", Evidence: EvidenceIssue,
				Breaks: []string{
					"tag keeps its Content-Type when the manifest is pushed again",
				},
			},
			do: refuseManifest(func(_ *build, _ *registry.Request, d document) *registry.Error {
				if d.MediaType != "" || !strings.HasPrefix(d.contentType, "application/vnd.oci.") {
					return nil
				}
				return invalidImageManifest()
			}),
			probe: func(p *prober) string {
				i := p.build(func(m *ocispec.Manifest) { m.MediaType = "" })
				i.MediaType = ocispec.MediaTypeImageManifest
				return p.put(i, "v1").code()
			}, want: "405 UNSUPPORTED",
		},
		{
			Fact: Fact{
				Name: "ecr.content-type-parameters", Sentence: "a manifest whose Content-Type has a parameter is refused",
				Source: "https://github.com/sigstore/sigstore-js/pull/1058", Date: "2024-03", Evidence: EvidenceIssue,
				Breaks: []string{
					"parameters of the Content-Type are ignored",
				},
			},
			do:    typeWithoutParameters(*invalidImageManifest()),
			probe: probeTypeParameter, want: "405",
		},
		{
			Fact: Fact{
				Name: "ecr.no-referrers", Sentence: "there was no referrers API: 404",
				Source: "https://github.com/awslabs/soci-snapshotter/blob/04fd8b1d8618dc016b33b55b31f62afa8da5aba3/docs/registry.md", Date: "2022", Until: "2024-06", Evidence: EvidenceVendor,
			},
			do:    withoutReferrers(),
			probe: probeReferrers, want: "404 UNSUPPORTED",
		},
		{
			Fact: Fact{
				Name: "ecr.subject-without-api", Sentence: "a manifest with a subject was confirmed with OCI-Subject, while there was no referrers API",
				Source: "https://github.com/notaryproject/ratify/issues/231", Date: "2024-06", From: "2024-06", Until: "2024-07", Evidence: EvidenceIssue,
				Breaks: []string{
					"OCI-Subject is absent without the referrers API",
				},
			},
			do:    subjectWithoutAPI(),
			probe: probeSubjectWithoutAPI, want: "404, confirmed",
		},
		{
			Fact: Fact{
				Name: "ecr.immutable-tags", Sentence: "a repository may have immutable tags: TAG_INVALID (the status is inferred)",
				Source: "https://github.com/GoogleContainerTools/kaniko/issues/3481", Date: "2025-05", Evidence: EvidenceIssue,
				Breaks: []string{
					"If-Match and If-None-Match guard a tag", "subject is confirmed by OCI-Subject", "tag moves to the last manifest pushed",
				},
			},
			setting: true,
			do: immutableTags(func(r *registry.Request) *registry.Error {
				return &registry.Error{
					Code: "TAG_INVALID", Status: http.StatusBadRequest,
					Message: fmt.Sprintf("The image tag '%s' already exists in the '%s' repository and cannot be overwritten because the tag is immutable.", r.Tag, r.Repo),
				}
			}),
			probe: probeMovedTag, want: "400 TAG_INVALID",
		},
		{
			Fact: Fact{
				Name: "ecr.tags-per-image", Sentence: "an image has at most 1,000 tags; one more is DENIED",
				Source: "https://github.com/namespacelabs/foundation/issues/649", Date: "2022-06", Evidence: EvidenceIssue,
			},
			do: refuseManifest(func(_ *build, r *registry.Request, d document) *registry.Error {
				if r.Tag == "" || tagsOf(r, digest.FromBytes(d.content)) < 1000 {
					return nil
				}
				return &registry.Error{Code: registry.CodeDenied, Message: "The maximum allowed number of tags per image which is '1000' has been reached"}
			}),
			probe: func(p *prober) string {
				i := p.build(nil)
				for n := range 1000 {
					p.want(p.put(i, fmt.Sprintf("v%d", n)), "pushing a manifest", http.StatusCreated)
				}
				return p.put(i, "last").code()
			}, want: "403 DENIED",
		},
		{
			Fact: Fact{
				Name: "ecr.no-layers-in-indexes", Sentence: "an index whose children are layers, such as a build cache, is refused (the status 400 is inferred)",
				Source: "https://github.com/moby/buildkit/issues/2251", Date: "2021", Evidence: EvidenceIssue,
				Breaks: []string{
					"index of unknown media types",
				},
			},
			do:    noLayersInIndexes(http.StatusBadRequest, registry.CodeManifestInvalid, "manifest invalid"),
			probe: probeLayersInIndex, want: "400 MANIFEST_INVALID",
		},
		{
			Fact: Fact{
				Name: "ecr.index-subject-405", Sentence: "an index with a subject was reported to be 405 UNSUPPORTED",
				Source: roadmap + "2783", Date: "2026-03", Evidence: EvidenceConflicting,
				Breaks: []string{
					"referrer has the annotations of its manifest", "referrer has the artifactType of its manifest", "referrers are of the digest and the repository",
					"referring index without artifactType has none",
				},
			},
			setting: true,
			do: refuseManifest(func(_ *build, _ *registry.Request, d document) *registry.Error {
				if d.Subject == nil || d.Manifests == nil {
					return nil
				}
				return invalidImageManifest()
			}),
			probe: func(p *prober) string {
				i := p.image("v1")
				index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{i.Descriptor}, Subject: &i.Descriptor}
				index.SchemaVersion = 2
				return p.put(p.encode(index, index.MediaType), "v2").code()
			}, want: "405 UNSUPPORTED",
		},
	},
}

const roadmap = "https://github.com/aws/containers-roadmap/issues/"

// invalidImageManifest returns the error with which ECR refuses a manifest.
func invalidImageManifest() *registry.Error {
	return &registry.Error{
		Code:    registry.CodeUnsupported,
		Message: "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'",
	}
}
