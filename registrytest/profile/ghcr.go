package profile

import (
	"net/http"
	"strings"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// GHCR returns the profile of the GitHub Container Registry.
func GHCR(opts ...Option) *Profile { return ghcr.profile(ghcr.name, opts) }

var ghcr = site{
	name: "ghcr", title: "GitHub Container Registry",
	access: access{scheme: auth.BearerAlways, anonymous: true, service: "ghcr.io"},
	quirks: []quirk{
		{
			Fact: Fact{
				Name: "ghcr.challenge", Sentence: "even a public image requires a token, of the service ghcr.io at /token",
				Source: renovateDocker + "common.ts#L170", Date: "2022-02", Evidence: EvidenceClient,
			},
			do:    challenges(),
			probe: probeChallenge, want: `401, WWW-Authenticate: Bearer realm="<registry>/token",service="ghcr.io",scope="repository:<repo>:pull"`,
		},
		{
			Fact: Fact{
				Name: "ghcr.token-denied", Sentence: "the token service refuses anonymous clients a token for a package that is private or unknown: 403 DENIED",
				Source: "https://github.com/mccutchen/go-httpbin/issues/223", Date: "2025-09", Evidence: EvidenceConflicting,
			},
			do: noTokenFor(func() *registry.Error {
				return &registry.Error{Code: registry.CodeDenied, Message: "requested access to the resource is denied"}
			}),
			probe: func(p *prober) string { return p.token("repository:missing/app:pull").code() }, want: "403 DENIED",
		},
		{
			Fact: Fact{
				Name: "ghcr.token-post-405", Sentence: "the token service does not support POST: 405 UNSUPPORTED",
				Source: "https://github.com/helm/helm/pull/31222", Date: "2025-09", Evidence: EvidenceIssue,
			},
			do:    aboutAuth(rule("token method=POST status=405 code=UNSUPPORTED")).deciding("POST of tokens"),
			probe: probeTokenPost, want: "405 UNSUPPORTED",
		},
		{
			Fact: Fact{
				Name: "ghcr.foreign-token-403", Sentence: "a personal access token in place of a Bearer token is 403, without a challenge",
				Source: "https://github.com/HarborGuard/HarborGuard/issues/191", Date: "2026-08", Evidence: EvidenceIssue,
			},
			do:    aboutAuth(badToken(&registry.Error{Code: registry.CodeDenied, Message: "denied"})),
			probe: probeBadToken, want: "403 DENIED",
		},
		{
			Fact: Fact{
				Name: "ghcr.chunk-maximum", Sentence: "a chunk of more than 4 MiB with a Content-Range is 416",
				Source: "https://github.com/wasmCloud/wash-archive/issues/268", Date: "2022-05", Evidence: EvidenceIssue,
			},
			do:    rule(`patch-upload has-header=Content-Range where=body>4194304 status=416 code=REQUESTED_RANGE_NOT_SATISFIABLE message="the request body is too large and exceeds the maximum permissible limit of 4.00MiB"`),
			probe: func(p *prober) string { return p.chunk(p.start(), 0, strings.Repeat("x", 4<<20+1)).code() }, want: "416 REQUESTED_RANGE_NOT_SATISFIABLE",
		},
		{
			Fact: Fact{
				Name: "ghcr.upload-expiry", Sentence: "an upload ends ten minutes after its last request (the documentation says ten minutes for the whole upload)",
				Source: "https://github.com/aquaproj/aqua/issues/4018", Date: "2025-07", Evidence: EvidenceVendor,
			},
			do:     uploadExpiry(10 * time.Minute),
			sleeps: true,
			probe: func(p *prober) string {
				session := p.start()
				p.wait(11 * time.Minute)
				return p.chunk(session, 0, "0123456789").code()
			}, want: "404 BLOB_UPLOAD_UNKNOWN",
		},
		{
			Fact: Fact{
				Name: "ghcr.no-referrers", Sentence: "there is no referrers API: 404 MANIFEST_UNKNOWN",
				Source: "https://github.com/artifacthub/hub/issues/4785", Date: "2026-07", Evidence: EvidenceIssue,
			},
			do: together(withoutReferrers(), rewrite(func(r *registry.Request, e registry.Error) *registry.Error {
				if r.Op != registry.ListReferrers || e.Status != http.StatusNotFound {
					return nil
				}
				return &registry.Error{Code: registry.CodeManifestUnknown, Message: "manifest unknown"}
			})),
			probe: probeReferrers, want: "404 MANIFEST_UNKNOWN",
		},
		{
			Fact: Fact{
				Name: "ghcr.referrers-303", Sentence: "the referrers API was reported to redirect to a page of github.com with 303",
				Source: "https://github.com/rtvkiz/minimal/issues/7", Date: "2026-04", Evidence: EvidenceConflicting,
				Breaks: []string{
					"OCI-Subject is absent without the referrers API",
				},
			},
			setting: true,
			do:      rule("list-referrers status=303 location=https://github.com/-/v2/packages/container/package/x").lacking(registry.ListReferrers).deciding("referrers"),
			probe: func(p *prober) string {
				return p.do("GET", p.path("referrers", string(p.image("v1").Digest)), "").field("Location")
			}, want: "303, Location: https://github.com/-/v2/packages/container/package/x",
		},
		{
			Fact: Fact{
				Name: "ghcr.no-delete", Sentence: "tags, manifests and blobs cannot be deleted: 405 UNSUPPORTED",
				Source: "https://github.com/containers/skopeo/issues/1880", Date: "2023-01", Evidence: EvidenceIssue,
			},
			do: rule(`delete-tag,delete-manifest,delete-blob status=405 code=UNSUPPORTED message="The operation is unsupported."`).
				lacking(registry.DeleteTag, registry.DeleteManifest, registry.DeleteBlob),
			probe: probeDelete("manifest"), want: "405 UNSUPPORTED",
		},
		{
			Fact: Fact{
				Name: "ghcr.tags-by-age", Sentence: "tags are listed from the oldest to the newest",
				Source: renovateDocker + "index.ts#L760", Date: "2025-05", Evidence: EvidenceClient,
				Breaks: []string{
					"pages of tags are in order", "tags are in order",
				},
			},
			do:    inPushOrder(),
			probe: probeTags(""), want: `["v2","v10","v1"]`,
		},
		{
			Fact: Fact{
				Name: "ghcr.blob-redirect", Sentence: "a GET of a blob is redirected with 307 to a storage that answers HEAD with 403",
				Source: "https://github.com/containerd/stargz-snapshotter/pull/167", Date: "2020", Evidence: EvidenceIssue,
				Breaks: []string{
					"Content-Range of a 206 is true", "If-Match and If-None-Match guard a blob from deletion", "blob has Docker-Content-Digest",
					"conditional GET of current content is 304", "namespace is confirmed by OCI-Namespace", "range of zero bytes is 416",
					"repeated If-None-Match is one list", "unknown range unit is ignored",
				},
			},
			do:    redirect(storage{host: "pkg-containers.githubusercontent.com", status: http.StatusTemporaryRedirect, refuses: true, refusesIt: true}),
			probe: probeStorageHead, want: "307, storage 403",
		},
	},
}

const renovateDocker = "https://github.com/renovatebot/renovate/blob/c2dd4f856f068eeda4c10afc3752c35fe1f6cab1/lib/modules/datasource/docker/"

// badToken returns the behaviour of a registry that responds to an invalid token
// with the error.
func badToken(e *registry.Error) behaviour {
	return wrap(func(_ *build, _ http.ResponseWriter, r *registry.Request, err error, note func()) error {
		all := errorsOf(err)
		if len(all) == 0 || !strings.Contains(strings.Join(all[0].Header["Www-Authenticate"], ","), `error="invalid_token"`) {
			return err
		}
		note()
		return e
	}).deciding("credentials that are not valid")
}

// probeBadToken is a probe of the response to a token that the registry did not
// issue.
func probeBadToken(p *prober) string {
	p.image("v1")
	return p.anonymous("GET", p.path("manifests", "v1"), "", "Authorization", "Bearer ghp_0123456789").code()
}

// uploadExpiry returns the behaviour of a registry whose upload sessions expire
// after a time without requests. The record of the 404 response gets the quirk's
// receipt only if the session existed.
func uploadExpiry(idle time.Duration) behaviour {
	return behaviour{{decides: "the expiry of uploads", build: func(b *build, q *quirk) {
		b.others = append(b.others, registry.WithUploadExpiry(idle))
		var used bySession[time.Time]
		for _, p := range onResponse(func(r *registry.Request, status int, h http.Header, note func()) int {
			used.forget(r, status)
			if id := h.Get("Docker-Upload-Uuid"); id != "" && status != http.StatusCreated {
				used.set(id, r.Now())
				return status
			}
			// A session expires when the duration idle has passed since its
			// last request. The time in used is that of the response, which is
			// a little later.
			last, ok := used.get(r.Session)
			if ok && status == http.StatusNotFound && r.Now().Sub(last) > idle-time.Minute {
				note()
			}
			return status
		}, append([]registry.Op{registry.StartUpload, registry.PostBlob, registry.MountBlob}, inSession...)...) {
			p.build(b, q)
		}
	}}}
}
