package profile

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// Quay returns the profile of Project Quay, the software of quay.io. A namespace
// must exist before a push; see [Repositories].
func Quay(opts ...Option) *Profile { return quay.profile(quay.name, opts) }

const quaySource = "https://github.com/quay/quay/blob/ffba0c70e2d8d522290a4fbbaa704dbf2fc37f34/"

var quay = site{
	name: "quay", title: "Quay",
	access: access{scheme: auth.Bearer, anonymous: true, path: "/v2/auth"},
	quirks: []quirk{
		{
			Fact: Fact{
				Name: "quay.ping-true", Sentence: "the body of the 401 response to /v2/ is true; tokens are from /v2/auth",
				Source: quaySource + "endpoints/v2/__init__.py", Date: "2026-08", Evidence: EvidenceCode,
			},
			do: together(challenges(), reshape(func(r *registry.Request, e *registry.Error) bool {
				return r.Op == registry.Ping && e.Code == registry.CodeUnauthorized
			}, func(*registry.Request, *registry.Error) (string, string) { return "application/json", "true" })),
			probe: func(p *prober) string { return p.anonymous("GET", "/v2/", "").body }, want: "true",
		},
		{
			Fact: Fact{
				Name: "quay.token-only", Sentence: "the response of the token service has only the field token",
				Source: quaySource + "endpoints/v2/v2auth.py#L179", Date: "2026-08", Evidence: EvidenceCode,
			},
			do:    tokenOnly("token"),
			probe: probeTokenFields, want: "200 token",
		},
		{
			Fact: Fact{
				Name: "quay.token-1h", Sentence: "a token is valid for an hour",
				Source: quaySource + "endpoints/v2/v2auth.py#L59", Date: "2026-08", Evidence: EvidenceCode,
			},
			do:    tokenLife(time.Hour),
			probe: probeTokenLife, want: "1h0m0s",
		},
		{
			Fact: Fact{
				Name: "quay.token-get-only", Sentence: "the token service does not support POST (the status 405 is inferred)",
				Source: quaySource + "endpoints/v2/v2auth.py#L67", Date: "2026-08", Evidence: EvidenceCode,
			},
			do:    aboutAuth(rule("token method=POST status=405 body=html")).deciding("POST of tokens"),
			probe: probeTokenPost, want: "405, no code",
		},
		{
			Fact: Fact{
				Name: "quay.scope-actions", Sentence: "a scope with an action other than pull, push and *, such as delete, is 400 INVALID_REQUEST",
				Source: quaySource + "endpoints/v2/v2auth.py#L216", Date: "2026-08", Evidence: EvidenceCode,
			},
			do: aboutAuth(serve(func(_ *build, r *registry.Request) registry.Handler {
				for _, scope := range strings.Fields(strings.Join(r.URL.Query()["scope"], " ")) {
					for action := range strings.SplitSeq(scope[strings.LastIndexByte(scope, ':')+1:], ",") {
						if action != "" && action != "pull" && action != "push" && action != "*" {
							return func(http.ResponseWriter, *registry.Request) error {
								return &registry.Error{Code: "INVALID_REQUEST", Status: http.StatusBadRequest, Message: "Unable to decode repository and actions: " + scope}
							}
						}
					}
				}
				return nil
			}, registry.GetToken)),
			probe: func(p *prober) string { return p.token("repository:" + p.repo + ":delete").code() }, want: "400 INVALID_REQUEST",
		},
		{
			Fact: Fact{
				Name: "quay.missing-401", Sentence: "a repository that does not exist is 401 to anonymous clients",
				Source: quaySource + "endpoints/v2/__init__.py", Date: "2026-08", Evidence: EvidenceCode,
			},
			do:    missing401(),
			probe: probeMissing, want: "401 insufficient_scope",
		},
		{
			Fact: Fact{
				Name: "quay.namespace-must-exist", Sentence: "a push to a namespace that does not exist is 401: the token covers nothing",
				Source: quaySource + "endpoints/v2/v2auth.py", Date: "2026-08", Evidence: EvidenceCode,
			},
			do: aboutAuth(namespaceMustExist(func(b *build, r *registry.Request) *registry.Error {
				return b.unauthorized(r, "insufficient_scope", "access to the requested resource is not authorized")
			})),
			probe: probePushTo(elsewhere), want: "401 UNAUTHORIZED",
		},
		{
			Fact: Fact{
				Name: "quay.creator-token", Sentence: "in a repository that does not exist and that the user may create, a token for pull alone is 401, and one for pull and push is 404",
				Source: "https://github.com/helm/helm/issues/32144", Date: "2026-05", Evidence: EvidenceIssue,
			},
			do: aboutAuth(refuse(func(b *build, r *registry.Request) *registry.Error {
				if r.User == "" || r.Scope == "" || strings.Contains(r.Scope, "push") || b.hasRepository(r, r.Repo) {
					return nil
				}
				return b.unauthorized(r, "insufficient_scope", "access to the requested resource is not authorized")
			}, registry.GetManifest, registry.HeadManifest, registry.GetBlob, registry.HeadBlob, registry.ListTags)),
			probe: func(p *prober) string {
				missing := *p
				missing.repo = "missing/app"
				pull := missing.as("repository:missing/app:pull").get("HEAD", "v1").only()
				return pull + ", " + missing.as("repository:missing/app:pull,push").get("HEAD", "v1").only()
			}, want: "401, 404",
		},
		{
			Fact: Fact{
				Name: "quay.upload-range", Sentence: "the Range of a new upload is bytes=0--1",
				Source: quaySource + "endpoints/v2/blob.py#L303", Date: "2026-08", Evidence: EvidenceCode,
			},
			do:    rule("start-upload,mount-blob set-header=Range:bytes=0--1").deciding("the Range of new uploads"),
			probe: func(p *prober) string { return p.do("POST", p.path("blobs", "uploads/"), "").field("Range") }, want: "202, Range: bytes=0--1",
		},
		{
			Fact: Fact{
				Name: "quay.upload-status", Sentence: "the status of an upload has a Range with bytes= and one byte too many, and no Location",
				Source: quaySource + "endpoints/v2/blob.py#L347", Date: "2026-08", Evidence: EvidenceCode,
				Breaks: []string{
					"status of an upload is 204 with Location and Range", "upload continues after a chunk out of order",
				},
			},
			do:    rangeIsCount("bytes="),
			probe: probeUploadStatus, want: "204, Range: bytes=0-10, no Location",
		},
		{
			Fact: Fact{
				Name: "quay.absolute-locations", Sentence: "Location and Link begin with the scheme and the host",
				Source: quaySource + "endpoints/v2/blob.py#L392", Date: "2026-08", Evidence: EvidenceCode,
			},
			do:    absoluteLocations(),
			probe: probeLocationOrigin, want: "<registry>",
		},
		{
			Fact: Fact{
				Name: "quay.chunk-416", Sentence: "a chunk out of order is 416 without JSON",
				Source: quaySource + "endpoints/v2/blob.py", Date: "2026-08", Evidence: EvidenceCode,
			},
			do: reshape(func(r *registry.Request, e *registry.Error) bool {
				return r.Op == registry.PatchUpload && e.Status == http.StatusRequestedRangeNotSatisfiable
			}, emptyBody).deciding("chunks out of order"),
			probe: probeOutOfOrder, want: "416, no code",
		},
		{
			Fact: Fact{
				Name: "quay.anonymous-mount-202", Sentence: "a mount without from starts an upload session",
				Source: quaySource + "endpoints/v2/blob.py", Date: "2026-08", Evidence: EvidenceCode,
			},
			do:    noAnonymousMount(),
			probe: probeMount(false), want: "202",
		},
		{
			Fact: Fact{
				Name: "quay.blob-redirect", Sentence: "a GET of a blob is redirected with 302, and Docker-Content-Digest is on the redirect",
				Source: quaySource + "endpoints/v2/blob.py#L72", Date: "2026-08", Evidence: EvidenceCode,
				Breaks: []string{
					"Content-Range of a 206 is true", "If-Match and If-None-Match guard a blob from deletion", "blob has Docker-Content-Digest",
					"conditional GET of current content is 304", "namespace is confirmed by OCI-Namespace", "range of zero bytes is 416",
					"repeated If-None-Match is one list", "unknown range unit is ignored",
				},
			},
			do: redirect(storage{host: "cdn01.quay.io", status: http.StatusFound, digest: true, refuses: true}),
			probe: func(p *prober) string {
				r := p.do("GET", p.path("blobs", string(p.push(p.text(20)).Digest)), "")
				return fmt.Sprint(r.status, " ", r.header.Get("Docker-Content-Digest") != "")
			}, want: "302 true",
		},
		{
			Fact: Fact{
				Name: "quay.no-blob-delete", Sentence: "a blob cannot be deleted: 405 UNSUPPORTED",
				Source: quaySource + "endpoints/v2/blob.py#L490", Date: "2026-08", Evidence: EvidenceCode,
			},
			do:    withoutOps(http.StatusMethodNotAllowed, registry.DeleteBlob),
			probe: probeDelete("blob"), want: "405 UNSUPPORTED",
		},
		{
			Fact: Fact{
				Name: "quay.page-100", Sentence: "a list has at most 100 entries",
				Source: quaySource + "endpoints/v2/__init__.py#L82", Date: "2026-08", Evidence: EvidenceCode,
			},
			do: option("the page size", registry.WithPageSize(100), func(r *registry.Request, _ int, h http.Header) bool {
				n, err := strconv.Atoi(r.URL.Query().Get("n"))
				return h.Get("Link") != "" && (err != nil || n > 100)
			}, registry.ListTags, registry.ListRepositories, registry.ListReferrers),
			probe: probeManyTags(101, ""), want: "100",
		},
		{
			Fact: Fact{
				Name: "quay.tags-by-age", Sentence: "at quay.io, tags are listed from the oldest to the newest",
				Source: renovateDocker + "index.ts#L761", Date: "2025-08", Evidence: EvidenceConflicting,
				Breaks: []string{
					"pages of tags are in order", "tags are in order",
				},
			},
			setting: true,
			do:      inPushOrder(),
			probe:   probeTags(""), want: `["v2","v10","v1"]`,
		},
		{
			Fact: Fact{
				Name: "quay.manifest-types", Sentence: "a manifest with a media type other than those of Docker and OCI is 415 MANIFEST_INVALID",
				Source: quaySource + "endpoints/v2/manifest.py#L251", Date: "2026-08", Evidence: EvidenceCode,
				Breaks: []string{
					"media types are case-insensitive",
				},
			},
			do: onlyManifests(mediaTypes("application/vnd.docker.distribution.manifest.*", ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex),
				http.StatusUnsupportedMediaType, "manifest schema version not supported"),
			probe: probeManifestType("application/vnd.example.manifest+json"), want: "415 MANIFEST_INVALID",
		},
		{
			Fact: Fact{
				Name: "quay.artifact-types", Sentence: "config.mediaType comes from a list; any other type is 400 MANIFEST_INVALID",
				Source: quaySource + "config.py#L845", Date: "2026-08", Evidence: EvidenceCode,
				Breaks: []string{
					"applied filter is confirmed by OCI-Filters-Applied", "filter may have a plus sign", "image of unknown media types", "index of unknown media types",
					"referrer has the artifactType of its manifest", "referrer without artifactType has the media type of its config", "referrers can be filtered",
				},
			},
			do: onlyConfigs(mediaTypes(ocispec.MediaTypeImageConfig, ocispec.MediaTypeEmptyJSON, "application/vnd.docker.container.image.*",
				"application/vnd.cncf.helm.config.v1+json", "application/vnd.dev.cosign.*", "application/vnd.oci.image.layer.*", "application/vnd.example.signature"),
				http.StatusBadRequest, registry.CodeManifestInvalid, "manifest invalid: unknown media type "),
			probe: probeConfig("application/vnd.example.config+json"), want: "400 MANIFEST_INVALID",
		},
		{
			Fact: Fact{
				Name: "quay.referrers-of-unknown-400", Sentence: "the referrers of a digest that is unknown are 400 MANIFEST_INVALID",
				Source: quaySource + "endpoints/v2/referrers.py", Date: "2026-08", Evidence: EvidenceCode,
				Breaks: []string{
					"applied filter is confirmed by OCI-Filters-Applied", "deleted referrer is not listed", "digest without referrers has an empty list",
					"filter may have a plus sign", "property SUBJECT is not the subject", "referrer has the annotations of its manifest",
					"referrer has the artifactType of its manifest", "referrer without artifactType has the media type of its config", "referrers are not 404",
					"referrers can be filtered", "referrers have the Content-Type of an index", "referrers of an unknown digest algorithm",
					"referring index without artifactType has none",
				},
			},
			do: refuse(func(_ *build, r *registry.Request) *registry.Error {
				if hasManifest(r) {
					return nil
				}
				return &registry.Error{Code: registry.CodeManifestInvalid, Message: "manifest invalid"}
			}, registry.ListReferrers),
			probe: func(p *prober) string {
				p.image("v1")
				return p.do("GET", p.path("referrers", string(digest.FromString("x"))), "").code()
			}, want: "400 MANIFEST_INVALID",
		},
		{
			Fact: Fact{
				Name: "quay.no-etag", Sentence: "responses have no ETag, and If-None-Match is ignored",
				Source: quaySource + "endpoints/v2/manifest.py#L135", Date: "2026-08", Evidence: EvidenceCode,
			},
			do:    withoutETags(),
			probe: probeETag, want: "200, no ETag",
		},
		{
			Fact: Fact{
				Name: "quay.sha256-only", Sentence: "an upload is hashed with sha256 only",
				Source: quaySource + "data/registry_model/blobuploader.py#L307", Date: "2026-08", Evidence: EvidenceCode,
			},
			do:    sha256Only(),
			probe: probeSHA512, want: "400",
		},
		{
			Fact: Fact{
				Name: "quay.no-layers-in-indexes", Sentence: "an index whose children are layers, such as a build cache, is refused (the status 400 is inferred)",
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
				Name: "quay.immutable-tags", Sentence: "a tag may be immutable: 409 TAG_IMMUTABLE",
				Source: quaySource + "endpoints/v2/errors.py", Date: "2026-08", Evidence: EvidenceCode,
				Breaks: []string{
					"If-Match and If-None-Match guard a tag", "subject is confirmed by OCI-Subject", "tag moves to the last manifest pushed",
				},
			},
			setting: true,
			do: immutableTags(func(*registry.Request) *registry.Error {
				return &registry.Error{Code: "TAG_IMMUTABLE", Status: http.StatusConflict, Message: "tag is immutable"}
			}),
			probe: probeMovedTag, want: "409 TAG_IMMUTABLE",
		},
		{
			Fact: Fact{
				Name: "quay.no-nested-names", Sentence: "names have two elements, unless extended names are enabled: the token service answers 400 NAME_INVALID",
				Source: quaySource + "endpoints/v2/v2auth.py", Date: "2026-08", Evidence: EvidenceCode,
			},
			setting: true,
			do: aboutAuth(serve(func(_ *build, r *registry.Request) registry.Handler {
				for _, repo := range scopedRepositories(r) {
					if strings.Count(repo, "/") > 1 {
						return func(http.ResponseWriter, *registry.Request) error {
							return &registry.Error{Code: registry.CodeNameInvalid, Message: "Nested repositories are not supported"}
						}
					}
				}
				return nil
			}, registry.GetToken)),
			probe: func(p *prober) string { return p.token("repository:a/b/c:pull").code() }, want: "400 NAME_INVALID",
		},
	},
}
