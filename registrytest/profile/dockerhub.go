package profile

import (
	"net/http"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// DockerHub returns the profile of Docker Hub. The names of its repositories
// have at least two elements, as in library/alpine.
func DockerHub(opts ...Option) *Profile { return dockerHub.profile(dockerHub.name, opts) }

var dockerHub = site{
	name: "docker-hub", title: "Docker Hub",
	access: access{scheme: auth.BearerAlways, anonymous: true, service: "registry.docker.io", host: "auth.docker.io"},
	quirks: []quirk{
		{
			Fact: Fact{
				Name: "docker-hub.challenge", Sentence: "even a public image requires a token, of the service registry.docker.io at auth.docker.io",
				Source: "https://github.com/distribution/distribution/issues/2376", Date: "2018-05", Evidence: EvidenceIssue,
			},
			do:    challenges(),
			probe: probeChallenge, want: `401, WWW-Authenticate: Bearer realm="<registry>/token",service="registry.docker.io",scope="repository:<repo>:pull"`,
		},
		{
			Fact: Fact{
				Name: "docker-hub.missing-401", Sentence: "a repository that does not exist is 401 with insufficient_scope, like one that is private",
				Source: "https://github.com/distribution/distribution/issues/1291", Date: "2015-12", Evidence: EvidenceIssue,
			},
			do:    missing401(),
			probe: probeMissing, want: "401 insufficient_scope",
		},
		{
			Fact: Fact{
				Name: "docker-hub.library-prefix", Sentence: "a name of one element is 401: official images are below library/",
				Source: "https://github.com/distribution/distribution/issues/4354", Date: "2024-05", Evidence: EvidenceIssue,
			},
			do: aboutAuth(onlyNames(func(repo string) bool { return strings.Contains(repo, "/") }, func(b *build, r *registry.Request) *registry.Error {
				return b.unauthorized(r, "insufficient_scope", "access to the requested resource is not authorized")
			})),
			probe: func(p *prober) string {
				official := *p
				official.repo = "alpine"
				return official.get("GET", "latest").only()
			}, want: "401",
		},
		{
			Fact: Fact{
				Name: "docker-hub.first-scope", Sentence: "of several scope parameters of a token request, only the first counts",
				Source: "https://github.com/docker/hub-feedback/issues/2215", Date: "2022-03", From: "2022-03", Until: "2022-04", Evidence: EvidenceIssue,
			},
			do: firstScope(),
			probe: func(p *prober) string {
				p.image("v1")
				other := *p
				other.repo += "/other"
				other.image("v1")
				r := p.token("repository:"+p.repo+":pull", "repository:"+other.repo+":pull")
				_, token, _ := strings.Cut(r.body, `"token":"`)
				token, _, _ = strings.Cut(token, `"`)
				return other.anonymous("GET", other.path("manifests", "v1"), "", "Authorization", "Bearer "+token, "Accept", "*/*").only()
			}, want: "401",
		},
		{
			Fact: Fact{
				Name: "docker-hub.mount-401", Sentence: "a mount from a repository that does not exist, such as one of another registry, is 401",
				Source: "https://github.com/google/go-containerregistry/issues/1404", Date: "2022-07", Evidence: EvidenceIssue,
				Breaks: []string{
					"mount of an invalid digest starts an upload",
				},
			},
			do: aboutAuth(mountMissing401(func(b *build, r *registry.Request) *registry.Error {
				return b.unauthorized(r, "insufficient_scope", "authentication required")
			})),
			probe: probeMountMissing(absent), want: "401",
		},
		{
			Fact: Fact{
				Name: "docker-hub.head-accept", Sentence: "HEAD of a manifest is 404 if Accept lacks its media type",
				Source: "https://github.com/fossas/fossa-cli/pull/1309", Date: "2023-10", Evidence: EvidenceIssue,
				Breaks: []string{
					"HEAD has Content-Length", "HEAD has Docker-Content-Digest", "HEAD of existing content is 200",
				},
			},
			do:    acceptStrict(registry.HeadManifest),
			probe: probeAccept("HEAD"), want: "404",
		},
		{
			Fact: Fact{
				Name: "docker-hub.no-delete", Sentence: "tags, manifests and blobs cannot be deleted: 405 UNSUPPORTED",
				Source: "https://github.com/docker/hub-feedback/issues/1759", Date: "2019-03", Evidence: EvidenceIssue,
			},
			do: rule(`delete-tag,delete-manifest,delete-blob status=405 code=UNSUPPORTED message="The operation is unsupported."`).
				lacking(registry.DeleteTag, registry.DeleteManifest, registry.DeleteBlob),
			probe: probeDelete("tag"), want: "405 UNSUPPORTED",
		},
		{
			Fact: Fact{
				Name: "docker-hub.rate-limit", Sentence: "anonymous clients may pull 100 manifests in 6 hours; a header says how many remain; further pulls are 429",
				Source: "https://github.com/docker/docs/blob/000a96d340ed5aff283d899d8f8b3eb603ab8133/content/manuals/docker-hub/usage/pulls.md", Evidence: EvidenceVendor,
			},
			do: pullLimit(100, 6*time.Hour),
			probe: func(p *prober) string {
				p.image("v1")
				// Pulls of other clients at the same address count, too.
				remaining, window, _ := strings.Cut(p.pull("GET", "v1").field("RateLimit-Remaining"), ";")
				return strings.TrimRight(remaining, "0123456789") + "<n>;" + window
			}, want: "200, RateLimit-Remaining: <n>;w=21600",
		},
		{
			Fact: Fact{
				Name: "docker-hub.blob-redirect", Sentence: "a GET of a blob is redirected to a storage that refuses credentials and HEAD",
				Source: "https://github.com/containerd/stargz-snapshotter/pull/167", Date: "2020", Evidence: EvidenceIssue,
				Breaks: []string{
					"Content-Range of a 206 is true", "If-Match and If-None-Match guard a blob from deletion", "blob has Docker-Content-Digest",
					"conditional GET of current content is 304", "namespace is confirmed by OCI-Namespace", "range of zero bytes is 416",
					"repeated If-None-Match is one list", "unknown range unit is ignored",
				},
			},
			do:    redirect(storage{host: "production.cloudflare.docker.com", status: http.StatusTemporaryRedirect, refuses: true, refusesIt: true}),
			probe: probeStorageHead, want: "307, storage 403",
		},
		{
			Fact: Fact{
				Name: "docker-hub.subject-404", Sentence: "a manifest with a subject was 404",
				Source: "https://github.com/awslabs/soci-snapshotter/blob/04fd8b1d8618dc016b33b55b31f62afa8da5aba3/docs/registry.md", Date: "2022", Until: "2024-03", Evidence: EvidenceVendor,
				Breaks: []string{
					"OCI-Subject is absent without the referrers API", "applied filter is confirmed by OCI-Filters-Applied",
					"deleted referrer is not listed", "filter may have a plus sign",
					"manifest of a missing subject is accepted", "new referrers are listed", "referrer has the annotations of its manifest",
					"referrer has the artifactType of its manifest", "referrer without artifactType has the media type of its config", "referrers are 200",
					"referrers are an index", "referrers are of the digest and the repository", "referrers can be filtered",
					"referrers have the Content-Type of an index", "referrers of an unknown digest algorithm", "referring index without artifactType has none",
					"subject is confirmed by OCI-Subject", "subject of an unknown digest algorithm is accepted",
				},
			},
			do: refuseManifest(func(_ *build, _ *registry.Request, d document) *registry.Error {
				if d.Subject == nil {
					return nil
				}
				return &registry.Error{Code: registry.CodeManifestUnknown, Message: "manifest unknown"}
			}).deciding("missing subjects"),
			probe: probeSubject(true, reply.only), want: "404",
		},
		{
			Fact: Fact{
				Name: "docker-hub.no-referrers", Sentence: "there was no referrers API: 404",
				Source: "https://github.com/docker/roadmap/issues/724", Date: "2022", Until: "2024-03", Evidence: EvidenceIssue,
			},
			do:    withoutReferrers(),
			probe: probeReferrers, want: "404 UNSUPPORTED",
		},
		{
			Fact: Fact{
				Name: "docker-hub.subject-without-api", Sentence: "a subject was confirmed with OCI-Subject, while there was no referrers API",
				Source: "https://github.com/docker/hub-feedback/issues/2372", Date: "2024-03", From: "2024-03", Until: "2025-10", Evidence: EvidenceConflicting,
				Breaks: []string{
					"OCI-Subject is absent without the referrers API",
				},
			},
			do:    subjectWithoutAPI(),
			probe: probeSubjectWithoutAPI, want: "404, confirmed",
		},
		{
			Fact: Fact{
				Name: "docker-hub.subject-must-exist", Sentence: "a manifest whose subject is missing was 404",
				Source: "https://github.com/docker/hub-feedback/issues/2307", Date: "2024-03", From: "2024-03", Until: "2025-10", Evidence: EvidenceConflicting,
				Breaks: []string{
					"applied filter is confirmed by OCI-Filters-Applied", "deleted referrer is not listed", "filter may have a plus sign",
					"manifest of a missing subject is accepted", "referrer has the annotations of its manifest", "referrer has the artifactType of its manifest",
					"referrer without artifactType has the media type of its config", "referrers are of the digest and the repository", "referrers can be filtered",
					"referrers of an unknown digest algorithm", "referring index without artifactType has none", "subject is confirmed by OCI-Subject",
					"subject of an unknown digest algorithm is accepted",
				},
			},
			do:    subjectMustExist(http.StatusNotFound, registry.CodeManifestUnknown, "manifest unknown"),
			probe: probeSubject(false, reply.only), want: "404",
		},
	},
}

// pullLimit returns the behaviour of a registry that limits how many manifests
// anonymous clients may pull in each window.
func pullLimit(limit int, window time.Duration) behaviour {
	did := func(_ *registry.Request, _ int, h http.Header) bool { return h.Get("RateLimit-Limit") != "" }
	said := rewrite(func(r *registry.Request, e registry.Error) *registry.Error {
		if e.Code != registry.CodeTooManyRequests || r.Op != registry.GetManifest {
			return nil
		}
		e.Message = "You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit"
		return &e
	})
	return append(aboutAuth(append(option("the rate of pulls", registry.Options(), did, registry.GetManifest), said...)), part{build: func(b *build, _ *quirk) {
		l := &auth.RateLimit{Limit: limit, Window: window, Counts: func(r *registry.Request) bool {
			return r.Op == registry.GetManifest && r.User == "" && r.Scope != ""
		}}
		b.inner = append(b.inner, l.Options()...)
	}})
}

// probeStorageHead is a probe of a HEAD request to the storage to which the
// registry redirects a GET of a blob.
func probeStorageHead(p *prober) string {
	layer := p.push(p.text(20))
	r := p.do("GET", p.path("blobs", string(layer.Digest)), "")
	if r.status/100 != 3 {
		return r.only()
	}
	return r.only() + ", storage " + p.anonymous("HEAD", p.location(r), "").only()
}

// probeSubjectWithoutAPI is a probe of the list of referrers, and of whether
// OCI-Subject confirms the subject of a pushed manifest.
func probeSubjectWithoutAPI(p *prober) string {
	list := p.do("GET", p.path("referrers", string(digest.FromString("x"))), "").only()
	return list + ", " + probeSubject(true, func(r reply) string {
		if r.header.Get("OCI-Subject") == "" {
			return "not confirmed"
		}
		return "confirmed"
	})(p)
}

// firstScope returns the behaviour of a token service that ignores all scope
// parameters except the first, which may contain several scopes.
func firstScope() behaviour {
	return aboutAuth(behaviour{{build: func(b *build, q *quirk) {
		b.addFault([]registry.Op{registry.GetToken}, func(r *registry.Request) *registry.Fault {
			query := r.URL.Query()
			if len(query["scope"]) < 2 {
				return nil
			}
			query["scope"] = query["scope"][:1]
			return &registry.Fault{Quirk: true, Before: func(r *registry.Request) error {
				r.Note(q.receipt())
				hr, u := *r.Request, *r.URL
				u.RawQuery = query.Encode()
				hr.URL = &u
				r.Request = &hr
				return nil
			}}
		})
	}}})
}
