package profile

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// Harbor returns the profile of Harbor, which runs Distribution 2.8 behind a
// front end. The first element of a repository name is a project. It must exist
// before a push; see [Repositories].
func Harbor(opts ...Option) *Profile { return harbor.profile(harbor.name, opts) }

const harborSource = "https://github.com/goharbor/harbor/blob/c50c7ddd6ea4e335a480b49c618281882ab7eec9/"

// harborOps are the operations that Harbor's front end implements. It passes
// others on to Distribution.
var harborOps = []registry.Op{
	registry.GetManifest, registry.HeadManifest, registry.PutManifest, registry.DeleteManifest, registry.DeleteTag, registry.ListTags, registry.ListReferrers,
}

var harbor = site{
	name: "harbor", title: "Harbor",
	access: access{scheme: auth.BearerAlways, anonymous: true, service: "harbor-registry", path: "/service/token"},
	quirks: []quirk{
		{
			Fact: Fact{
				Name: "harbor.challenge", Sentence: "even a public image requires a token, of the service harbor-registry at /service/token",
				Source: harborSource + "src/server/middleware/v2auth/auth.go#L62", Date: "2026-08", Evidence: EvidenceCode,
			},
			do:    challenges(),
			probe: probeChallenge, want: `401, WWW-Authenticate: Bearer realm="<registry>/service/token",service="harbor-registry",scope="repository:<repo>:pull"`,
		},
		{
			Fact: Fact{
				Name: "harbor.basic-after-credentials", Sentence: "credentials that are not valid, and the catalog, get the challenge Basic in place of Bearer",
				Source: harborSource + "src/server/middleware/v2auth/auth.go#L88", Date: "2026-08", Evidence: EvidenceCode,
			},
			do: challenge(func(r *registry.Request, values []string) []string {
				if r.Header.Get("Authorization") == "" && r.Op != registry.ListRepositories {
					return values
				}
				return []string{`Basic realm="harbor"`}
			}),
			probe: func(p *prober) string {
				p.image("v1")
				return p.anonymous("GET", p.path("manifests", "v1"), "", "Authorization", "Bearer x").field("WWW-Authenticate")
			}, want: `401, WWW-Authenticate: Basic realm="harbor"`,
		},
		{
			Fact: Fact{
				Name: "harbor.unknown-project-401", Sentence: "a project that does not exist is 401 with an empty challenge",
				Source: harborSource + "src/server/middleware/v2auth/auth.go#L66", Date: "2026-08", Evidence: EvidenceCode,
			},
			do: aboutAuth(refuse(func(b *build, r *registry.Request) *registry.Error {
				if b.hasNamespace(r, r.Repo) {
					return nil
				}
				return unknownProject(r.Repo)
			}, everyOp...)).deciding(missingNamespaces),
			probe: func(p *prober) string {
				missing := *p
				missing.repo = "missing/app"
				r := missing.do("GET", missing.path("tags", "list"), "")
				return fmt.Sprintf("%s %q", r.code(), r.header["Www-Authenticate"])
			}, want: `401 UNAUTHORIZED [""]`,
		},
		{
			Fact: Fact{
				Name: "harbor.mount-401", Sentence: "a mount from a project that does not exist, such as one of another registry, is 401",
				Source: "https://github.com/goharbor/harbor/issues/17097", Date: "2022-06", Evidence: EvidenceIssue,
				Breaks: []string{
					"mount of an invalid digest starts an upload",
				},
			},
			do: mountMissing401(func(b *build, r *registry.Request) *registry.Error {
				if b.hasNamespace(r, r.From) {
					return nil
				}
				return unknownProject(r.From)
			}),
			probe: probeMountMissing(elsewhere), want: "401",
		},
		{
			Fact: Fact{
				Name: "harbor.token-30m", Sentence: "a token is valid for 30 minutes",
				Source: harborSource + "src/lib/config/metadata/metadatalist.go#L122", Date: "2026-08", Evidence: EvidenceCode,
			},
			do:    tokenLife(30 * time.Minute),
			probe: probeTokenLife, want: "30m0s",
		},
		{
			Fact: Fact{
				Name: "harbor.not-found", Sentence: "the error for a missing manifest or repository has the code NOT_FOUND",
				Source: harborSource + "src/lib/errors/const.go", Date: "2026-08", Evidence: EvidenceCode,
				Breaks: []string{
					"error codes are those of the spec",
				},
			},
			do: together(recode(registry.CodeManifestUnknown, "NOT_FOUND", 0, harborOps...), recode(registry.CodeNameUnknown, "NOT_FOUND", 0, harborOps...)).deciding("missing manifests"),
			probe: func(p *prober) string {
				p.image("v1")
				return p.get("GET", "v2").code()
			}, want: "404 NOT_FOUND",
		},
		{
			Fact: Fact{
				Name: "harbor.no-tag-delete", Sentence: "a tag cannot be deleted: 400 UNSUPPORTED",
				Source: harborSource + "src/server/registry/manifest.go#L143", Date: "2026-08", Evidence: EvidenceCode,
			},
			do:    rule("delete-tag status=400 code=UNSUPPORTED").lacking(registry.DeleteTag),
			probe: probeDelete("tag"), want: "400 UNSUPPORTED",
		},
		{
			Fact: Fact{
				Name: "harbor.manifest-too-large", Sentence: "a manifest of more than 4 MiB is 413 REQUEST_ENTITY_TOO_LARGE",
				Source: harborSource + "src/common/const.go#L255", Date: "2026-08", Evidence: EvidenceCode,
			},
			do: rewrite(func(r *registry.Request, e registry.Error) *registry.Error {
				if r.Op != registry.PutManifest || e.Status != http.StatusRequestEntityTooLarge {
					return nil
				}
				e.Code = "REQUEST_ENTITY_TOO_LARGE"
				return &e
			}),
			probe: func(p *prober) string {
				i := p.build(nil)
				i.text += strings.Repeat(" ", 4<<20)
				return p.put(i, "v1").code()
			}, want: "413 REQUEST_ENTITY_TOO_LARGE",
		},
		{
			Fact: Fact{
				Name: "harbor.tags-n-0", Sentence: "tags/list with n=0 is empty even if the repository does not exist",
				Source: harborSource + "src/server/registry/tag.go", Date: "2026-08", Evidence: EvidenceCode,
			},
			do: serve(func(_ *build, r *registry.Request) registry.Handler {
				if r.URL.Query().Get("n") != "0" {
					return nil
				}
				return func(w http.ResponseWriter, r *registry.Request) error {
					return write(w, r, http.StatusOK, "application/json", fmt.Sprintf(`{"name":%q,"tags":[]}`, r.Repo))
				}
			}, registry.ListTags),
			probe: func(p *prober) string {
				p.image("v1")
				missing := *p
				missing.repo += "/missing"
				return missing.do("GET", missing.path("tags", "list")+"?n=0", "").only()
			}, want: "200",
		},
		{
			Fact: Fact{
				Name: "harbor.catalog-last-400", Sentence: "the catalog after a repository that does not exist is 400",
				Source: harborSource + "src/server/registry/catalog.go", Date: "2026-08", Evidence: EvidenceCode,
			},
			do: refuse(func(b *build, r *registry.Request) *registry.Error {
				if last := r.URL.Query().Get("last"); last == "" || b.hasRepository(r, last) {
					return nil
				}
				return &registry.Error{Code: "BAD_REQUEST", Status: http.StatusBadRequest, Message: "the last repository does not exist"}
			}, registry.ListRepositories).deciding("the catalog after an unknown repository"),
			probe: func(p *prober) string {
				p.image("v1")
				return p.do("GET", "/v2/_catalog?last=missing/app", "").code()
			}, want: "400 BAD_REQUEST",
		},
		{
			Fact: Fact{
				Name: "harbor.referrers-count", Sentence: "the list of referrers has their number in X-Total-Count",
				Source: harborSource + "src/server/registry/referrers.go", Date: "2026-08", Evidence: EvidenceCode,
			},
			do: header(func(r *registry.Request, status int, h http.Header) int {
				n := 0
				for _, err := range r.Store().Referrers(r.Context(), r.Repo, r.Digest, "") {
					if err == nil {
						n++
					}
				}
				h.Set("X-Total-Count", fmt.Sprint(n))
				return status
			}, registry.ListReferrers),
			probe: func(p *prober) string {
				return p.do("GET", p.path("referrers", string(p.image("v1").Digest)), "").field("X-Total-Count")
			}, want: "200, X-Total-Count: 0",
		},
		{
			Fact: Fact{
				Name: "harbor.single-post-202", Sentence: "a blob in a single POST starts an upload session, as in Distribution 2.8",
				Source: harborSource + "src/server/registry/route.go", Date: "2026-08", Evidence: EvidenceCode,
			},
			do:    singlePost202(),
			probe: probeSinglePost, want: "202",
		},
		{
			Fact: Fact{
				Name: "harbor.upload-state", Sentence: "the Location of an upload has a _state; another state is 404 BLOB_UPLOAD_INVALID, as in Distribution 2.8",
				Source: harborSource + "src/server/registry/route.go", Date: "2026-08", Evidence: EvidenceCode,
			},
			do:    uploadState(stateRule{missing: invalidState, used: invalidState, ends: true}),
			probe: probeState, want: "404 BLOB_UPLOAD_INVALID; status 404; used 404 BLOB_UPLOAD_INVALID",
		},
		{
			Fact: Fact{
				Name: "harbor.chunk-order-unchecked", Sentence: "a chunk at a wrong offset is appended, as in Distribution 2.8",
				Source: harborSource + "Makefile#L133", Date: "2026-08", Evidence: EvidenceCode,
				Breaks: []string{
					"chunk out of order is 416", "chunk out of order is 416 whatever its length", "final chunk out of order is 416",
					"invalid Content-Range is 416", "upload continues after a chunk out of order",
				},
			},
			do:    chunkOrderUnchecked(),
			probe: probeOrderUnchecked, want: "202, Range: 0-9; 201",
		},
		{
			Fact: Fact{
				Name: "harbor.anonymous-mount-202", Sentence: "a mount without from starts an upload session, as in Distribution 2.8",
				Source: harborSource + "src/server/registry/route.go", Date: "2026-08", Evidence: EvidenceCode,
			},
			do:    noAnonymousMount(),
			probe: probeMount(false), want: "202",
		},
		{
			Fact: Fact{
				Name: "harbor.empty-config-500", Sentence: "a manifest whose config is an empty blob is 500",
				Source: "https://github.com/goharbor/harbor/issues/21018", Date: "2024-10", Evidence: EvidenceIssue,
			},
			do: refuseManifest(func(_ *build, _ *registry.Request, d document) *registry.Error {
				if d.Config == nil || d.Config.Size != 0 {
					return nil
				}
				return &registry.Error{Code: "UNKNOWN", Status: http.StatusInternalServerError, Message: "internal server error"}
			}),
			probe: probeEmptyConfig, want: "500 UNKNOWN",
		},
		{
			Fact: Fact{
				Name: "harbor.cookies", Sentence: "responses set a cookie; a client that sends it back with a write is refused with 403",
				Source: "https://github.com/oras-project/oras-py/blob/e51bc875f8eee6a120e7fb873362439194ec2eb4/oras/provider.py#L77", Date: "2023-07", Evidence: EvidenceClient,
			},
			do: together(header(func(_ *registry.Request, status int, h http.Header) int {
				h.Add("Set-Cookie", "sid=0123456789abcdef; Path=/; HttpOnly")
				return status
			}, registry.Ping, registry.GetToken, registry.StartUpload), refuse(func(_ *build, r *registry.Request) *registry.Error {
				if _, err := r.Cookie("sid"); err != nil {
					return nil
				}
				return &registry.Error{Code: "FORBIDDEN", Status: http.StatusForbidden, Message: "CSRF token not found in request"}
			}, registry.StartUpload, registry.PostBlob, registry.MountBlob, registry.PatchUpload, registry.PutUpload, registry.PutManifest)),
			probe: func(p *prober) string {
				r := p.do("POST", p.path("blobs", "uploads/"), "")
				cookie, _, _ := strings.Cut(r.header.Get("Set-Cookie"), ";")
				return p.do("POST", p.path("blobs", "uploads/"), "", "Cookie", cookie).code()
			}, want: "403 FORBIDDEN",
		},
		{
			Fact: Fact{
				Name: "harbor.immutable-tags", Sentence: "a project may have immutable tags: 412 PRECONDITION",
				Source: harborSource + "src/server/middleware/immutable/pushmf.go", Date: "2026-08", Evidence: EvidenceCode,
				Breaks: []string{
					"If-Match and If-None-Match guard a tag", "subject is confirmed by OCI-Subject", "tag moves to the last manifest pushed",
				},
			},
			setting: true,
			do: immutableTags(func(r *registry.Request) *registry.Error {
				return &registry.Error{
					Code: "PRECONDITION", Status: http.StatusPreconditionFailed,
					Message: fmt.Sprintf("Failed to process request due to '%s:%s' configured as immutable.", r.Repo, r.Tag),
				}
			}),
			probe: probeMovedTag, want: "412 PRECONDITION",
		},
	},
}

// unknownProject returns Harbor's error for a repository whose project does not
// exist.
func unknownProject(repo string) *registry.Error {
	project, _, _ := strings.Cut(repo, "/")
	e := &registry.Error{Code: registry.CodeUnauthorized, Message: "project " + project + " not found: project " + project + " not found"}
	e.Header = http.Header{"Www-Authenticate": {""}}
	return e
}

// probeEmptyConfig is a probe of a push of a manifest whose config is an empty
// blob.
func probeEmptyConfig(p *prober) string {
	i := p.build(nil)
	i.manifest.Config.Digest, i.manifest.Config.Size = p.push("").Digest, 0
	return p.put(p.encode(i.manifest, i.MediaType), "v1").code()
}
