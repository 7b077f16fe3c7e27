package profile

import (
	"net/http"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// GitLab returns the profile of the container registry of gitlab.com. Names of
// repositories begin with a group and a project.
func GitLab(opts ...Option) *Profile { return gitlab.profile(gitlab.name, opts) }

const gitlabReport = conformanceReports + "v1.0/gitlab/report.html"

var gitlab = site{
	name: "gitlab", title: "GitLab",
	access: access{scheme: auth.Bearer, anonymous: true, service: "container_registry", host: "gitlab.com", path: "/jwt/auth"},
	quirks: []quirk{
		{
			Fact: Fact{
				Name: "gitlab.challenge", Sentence: "tokens are of the service container_registry at /jwt/auth, on the host gitlab.com",
				Source: gitlabReport, Date: "2023-10", Evidence: EvidenceTrace,
			},
			do: challenges(),
			probe: func(p *prober) string {
				return p.local(p.anonymous("POST", p.path("blobs", "uploads/"), "").field("WWW-Authenticate"))
			},
			want: `401, WWW-Authenticate: Bearer realm="<registry>/jwt/auth",service="container_registry",scope="repository:<repo>:pull,push"`,
		},
		{
			Fact: Fact{
				Name: "gitlab.token-only", Sentence: "the response of the token service has only the field token",
				Source: "https://gitlab.com/gitlab-org/gitlab/-/work_items/16620", Evidence: EvidenceTrace,
			},
			do:    tokenOnly("token"),
			probe: probeTokenFields, want: "200 token",
		},
		{
			Fact: Fact{
				Name: "gitlab.token-post-404", Sentence: "the token service does not support POST (the status 404 is inferred from the routes)",
				Source: "https://github.com/gitlabhq/gitlabhq/blob/00050519d16f7c0296fa0113de7065a607862501/config/routes.rb", Evidence: EvidenceCode,
			},
			do:    aboutAuth(rule("token method=POST status=404 body=empty")).deciding("POST of tokens"),
			probe: probeTokenPost, want: "404, no code",
		},
		{
			Fact: Fact{
				Name: "gitlab.absolute-locations", Sentence: "Location begins with the scheme and the host",
				Source: gitlabReport, Date: "2023-10", Evidence: EvidenceTrace,
			},
			do:    absoluteLocations(),
			probe: probeLocationOrigin, want: "<registry>",
		},
		{
			Fact: Fact{
				Name: "gitlab.upload-state", Sentence: "the Location of an upload has a _state; another state is 404 BLOB_UPLOAD_INVALID (inferred from Distribution 2.8)",
				Source: gitlabReport, Date: "2023-10", Evidence: EvidenceTrace,
			},
			do:    uploadState(stateRule{missing: invalidState, used: invalidState, ends: true}),
			probe: probeState, want: "404 BLOB_UPLOAD_INVALID; status 404; used 404 BLOB_UPLOAD_INVALID",
		},
		{
			Fact: Fact{
				Name: "gitlab.single-post-202", Sentence: "a blob in a single POST starts an upload session; its digest is ignored",
				Source: gitlabReport, Date: "2023-10", Evidence: EvidenceTrace,
			},
			do:    singlePost202(),
			probe: probeSinglePost, want: "202",
		},
		{
			Fact: Fact{
				Name: "gitlab.chunk-416", Sentence: "a chunk out of order is 416 CONTENT_RANGE_INVALID, without Range and Location",
				Source: gitlabReport, Date: "2023-10", Evidence: EvidenceTrace,
			},
			do: rewrite(func(r *registry.Request, e registry.Error) *registry.Error {
				if r.Op != registry.PatchUpload || e.Status != http.StatusRequestedRangeNotSatisfiable {
					return nil
				}
				return &registry.Error{Code: "CONTENT_RANGE_INVALID", Status: e.Status, Message: "invalid content range"}
			}).deciding("chunks out of order"),
			probe: probeOutOfOrder, want: "416 CONTENT_RANGE_INVALID, no Location, no Range",
		},
		{
			Fact: Fact{
				Name: "gitlab.blob-redirect", Sentence: "GET and HEAD of a blob are redirected to Google's storage, whose responses have no digest",
				Source: gitlabReport, Date: "2023-10", Evidence: EvidenceTrace,
				Breaks: []string{
					"Content-Range of a 206 is true", "HEAD has Docker-Content-Digest", "If-Match and If-None-Match guard a blob from deletion",
					"blob has Docker-Content-Digest", "conditional GET of current content is 304", "namespace is confirmed by OCI-Namespace",
					"range of zero bytes is 416", "repeated If-None-Match is one list", "unknown range unit is ignored",
				},
			},
			do:    redirect(storage{host: "storage.googleapis.com", status: http.StatusTemporaryRedirect, heads: true, refuses: true}),
			probe: probeBlobRedirect("HEAD"), want: "307, storage 200",
		},
		{
			Fact: Fact{
				Name: "gitlab.illegal-name-404", Sentence: "a path with a name that is not valid is 404 with text/plain, before authentication",
				Source: gitlabReport, Date: "2023-10", Evidence: EvidenceTrace,
			},
			do:    illegalName404(),
			probe: probeIllegalName, want: "404, Content-Type: text/plain; charset=utf-8",
		},
		{
			Fact: Fact{
				Name: "gitlab.no-referrers", Sentence: "there is no referrers API: 404",
				Source: "https://gitlab.com/gitlab-org/container-registry/-/issues/1205", Evidence: EvidenceIssue,
			},
			do:    withoutReferrers(),
			probe: probeReferrers, want: "404 UNSUPPORTED",
		},
		{
			Fact: Fact{
				Name: "gitlab.subject-must-exist", Sentence: "a manifest whose subject is missing is 400 MANIFEST_BLOB_UNKNOWN (seen in 2024-12, everywhere since 2026-08)",
				Source: "https://github.com/moby/buildkit/issues/7007", Date: "2026-08", From: "2026-08-01", Evidence: EvidenceIssue,
				Breaks: []string{
					"OCI-Subject is absent without the referrers API", "applied filter is confirmed by OCI-Filters-Applied",
					"deleted referrer is not listed", "filter may have a plus sign",
					"manifest of a missing subject is accepted", "referrer has the annotations of its manifest", "referrer has the artifactType of its manifest",
					"referrer without artifactType has the media type of its config", "referrers are of the digest and the repository", "referrers can be filtered",
					"referrers of an unknown digest algorithm", "referring index without artifactType has none", "subject is confirmed by OCI-Subject",
					"subject of an unknown digest algorithm is accepted",
				},
			},
			do:    subjectMustExist(http.StatusBadRequest, registry.CodeManifestBlobUnknown, "blob unknown to registry"),
			probe: probeSubject(false, reply.code), want: "400 MANIFEST_BLOB_UNKNOWN",
		},
		{
			Fact: Fact{
				Name: "gitlab.media-types", Sentence: "config.mediaType and artifactType come from a list; any other type is 400 MANIFEST_INVALID",
				Source: "https://github.com/ocx-sh/ocx/issues/480", Date: "2026-09", Evidence: EvidenceIssue,
				Breaks: []string{
					"applied filter is confirmed by OCI-Filters-Applied", "filter may have a plus sign",
					"image of unknown media types", "index of unknown media types", "referrer has the artifactType of its manifest",
					"referrer without artifactType has the media type of its config", "referrers can be filtered",
				},
			},
			do:    onlyConfigs(gitlabType, http.StatusBadRequest, registry.CodeManifestInvalid, "unknown media type: "),
			probe: probeConfig("application/vnd.example.config+json"), want: "400 MANIFEST_INVALID",
		},
		{
			Fact: Fact{
				Name: "gitlab.name-depth", Sentence: "a name has at most two elements below its project; a longer name is 401 with insufficient_scope",
				Source: "https://gitlab.com/gitlab-org/gitlab/-/issues/438563", Evidence: EvidenceIssue,
			},
			do: aboutAuth(onlyNames(func(repo string) bool { return strings.Count(repo, "/") <= 3 }, func(b *build, r *registry.Request) *registry.Error {
				return b.unauthorized(r, "insufficient_scope", "authorization failed")
			})),
			probe: func(p *prober) string {
				deep := *p
				deep.repo += "/a/b/c"
				return deep.do("POST", deep.path("blobs", "uploads/"), "").only()
			}, want: "401",
		},
	},
}

// types returns the artifactType of a manifest and the media type of its config.
func (d document) types() []string {
	types := []string{d.ArtifactType}
	if d.Config != nil {
		types = append(types, d.Config.MediaType)
	}
	return types
}

// gitlabType reports whether GitLab accepts a manifest with this artifactType or
// config type. GitLab's list is longer; this one has the types that most clients
// push.
func gitlabType(mediaType string) bool {
	return slices.Contains([]string{
		ocispec.MediaTypeImageConfig, ocispec.MediaTypeEmptyJSON, "application/vnd.docker.container.image.v1+json",
		"application/vnd.cncf.helm.config.v1+json", "application/vnd.dev.cosign.artifact.sig.v1+json",
		"application/vnd.dev.cosign.artifact.sbom.v1+json", "application/vnd.oci.image.layer.v1.tar", "application/vnd.wasm.config.v1+json",
	}, mediaType)
}
