package profile

import (
	"net/http"
	"slices"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/registrytest/auth"
)

// ArtifactRegistry returns the profile of Google Artifact Registry.
func ArtifactRegistry(opts ...Option) *Profile {
	return artifactRegistry.profile(artifactRegistry.name, opts)
}

// GCR returns the profile of Google Container Registry, gcr.io, as it was until
// Artifact Registry replaced it.
func GCR(opts ...Option) *Profile { return gcr.profile(gcr.name, opts) }

const containersImage = "https://github.com/containers/image/blob/df7e80d2d19872b61f352a8a182ec934dc0c2346/"

var artifactRegistry = site{
	name: "artifact-registry", title: "Google Artifact Registry",
	access: access{scheme: auth.Bearer, anonymous: true, path: "/v2/token"},
	quirks: append([]quirk{
		{
			Fact: Fact{
				Name: "artifact-registry.blob-redirect", Sentence: "the Location of the redirect of a blob is relative (the status is inferred)",
				Source: "https://github.com/sonatype/nexus-public/issues/1061", Date: "2026-09", Evidence: EvidenceIssue,
				Breaks: []string{
					"Content-Range of a 206 is true", "If-Match and If-None-Match guard a blob from deletion", "blob has Docker-Content-Digest",
					"conditional GET of current content is 304", "namespace is confirmed by OCI-Namespace", "range of zero bytes is 416",
					"repeated If-None-Match is one list", "unknown range unit is ignored",
				},
			},
			do: redirect(storage{status: http.StatusFound, relative: true}),
			probe: func(p *prober) string {
				r := p.do("GET", p.path("blobs", string(p.push(p.text(20)).Digest)), "")
				if strings.HasPrefix(r.header.Get("Location"), "/") {
					return r.only() + " relative"
				}
				return r.only()
			}, want: "302 relative",
		},
		{
			Fact: Fact{
				Name: "artifact-registry.no-chunks", Sentence: "a blob cannot be pushed in chunks (the status 405 is inferred)",
				Source: "https://github.com/dotnet/sdk-container-builds/pull/287", Date: "2023-01", Evidence: EvidenceVendor,
				Breaks: []string{
					"cancelled upload is unknown", "cancelling an upload is 204", "chunk is 202 with Location and Range", "chunk out of order is 416",
					"chunk out of order is 416 whatever its length", "final chunk out of order is 416", "finished upload is unknown", "invalid Content-Range is 416",
					"minimum chunk size is announced", "status of an upload is 204 with Location and Range", "upload continues after a chunk out of order",
					"upload in chunks ends with 201 and the Location of the blob",
				},
			},
			do:    rule("patch-upload has-header=Content-Range status=405 code=UNSUPPORTED").deciding("chunks out of order").deciding("the Range of chunks"),
			probe: func(p *prober) string { return p.chunk(p.start(), 0, "0123456789").code() }, want: "405 UNSUPPORTED",
		},
		{
			Fact: Fact{
				Name: "artifact-registry.referrers-html", Sentence: "the referrers API responded with 200 and an HTML page for the login",
				Source: "https://github.com/oras-project/oras-go/pull/635", Date: "2023-11", Until: "2026-01", Evidence: EvidenceConflicting,
				Breaks: []string{
					"OCI-Subject is absent without the referrers API", "referrers are 404 if the API is unsupported",
				},
			},
			do:    rule("list-referrers status=200 body=html").lacking(registry.ListReferrers).deciding("referrers"),
			probe: probeReferrers, want: "200 text/html",
		},
	}, googleQuirks...),
}

var gcr = site{
	name: "gcr", title: "Google Container Registry",
	access: access{scheme: auth.Bearer, anonymous: true, path: "/v2/token"},
	quirks: append([]quirk{
		{
			Fact: Fact{
				Name: "gcr.401-without-challenge", Sentence: "401 comes without a challenge, except for /v2/",
				Source: containersImage + "docker/docker_client.go#L704", Date: "2017-01", Evidence: EvidenceClient,
			},
			do: together(challenges(), rewrite(func(r *registry.Request, e registry.Error) *registry.Error {
				if r.Op == registry.Ping || r.Op == registry.GetToken || e.Header.Get("WWW-Authenticate") == "" {
					return nil
				}
				e.Header = e.Header.Clone()
				e.Header.Del("WWW-Authenticate")
				return &e
			})),
			probe: func(p *prober) string {
				return p.anonymous("POST", p.path("blobs", "uploads/"), "").field("WWW-Authenticate")
			}, want: "401, no WWW-Authenticate",
		},
		{
			Fact: Fact{
				Name: "gcr.blob-without-length", Sentence: "the responses to GET and HEAD of a blob were reported to lack Content-Length",
				Source: "https://github.com/google/go-containerregistry/issues/1061", Date: "2021-06", Evidence: EvidenceIssue,
				Breaks: []string{
					"HEAD has Content-Length",
				},
			},
			do: rule("get-blob,head-blob where=found drop-header=Content-Length"),
			probe: func(p *prober) string {
				return p.do("HEAD", p.path("blobs", string(p.push(p.text(20)).Digest)), "").field("Content-Length")
			}, want: "200, no Content-Length",
		},
		{
			Fact: Fact{
				Name: "gcr.illegal-name-html", Sentence: "a name with characters that are not valid is 200 with an HTML page",
				Source: "https://github.com/gardener/cc-utils/pull/1557", Evidence: EvidenceClient,
				Breaks: []string{
					"repository name syntax is enforced",
				},
			},
			do: wrap(func(_ *build, w http.ResponseWriter, r *registry.Request, err error, note func()) error {
				all := errorsOf(err)
				if len(all) == 0 || all[0].Code != registry.CodeNameInvalid || names.Repository(r.Repo) {
					return err
				}
				note()
				return write(w, r, http.StatusOK, "text/html; charset=utf-8", "<!DOCTYPE html><html></html>\n")
			}).deciding("names that are not valid"),
			probe: probeIllegalName, want: "200, Content-Type: text/html; charset=utf-8",
		},
	}, googleQuirks...),
}

// googleQuirks are quirks of both Google registries.
var googleQuirks = []quirk{
	{
		Fact: Fact{
			Name: "google.token-post-404", Sentence: "the token service does not support POST: 404",
			Source: "https://github.com/containerd/containerd/blob/301026e58c619e63d09c0ec411012e54c0124b03/core/remotes/docker/authorizer.go#L321", Date: "2017", Evidence: EvidenceClient,
		},
		do:    aboutAuth(rule("token method=POST status=404 body=plain")).deciding("POST of tokens"),
		probe: probeTokenPost, want: "404, no code",
	},
	{
		Fact: Fact{
			Name: "google.no-token-for-push", Sentence: "the token service refuses anonymous clients a token for a push (the status 403 is inferred)",
			Source: "https://github.com/docker/hub-feedback/issues/1771", Date: "2019-03", Evidence: EvidenceIssue,
		},
		do: aboutAuth(serve(func(_ *build, r *registry.Request) registry.Handler {
			if r.Header.Get("Authorization") != "" || !strings.Contains(strings.Join(r.URL.Query()["scope"], " "), "push") {
				return nil
			}
			return func(http.ResponseWriter, *registry.Request) error {
				return &registry.Error{Code: registry.CodeDenied, Message: "Unauthenticated request. Unauthenticated requests do not have permission"}
			}
		}, registry.GetToken)),
		probe: func(p *prober) string { return p.token("repository:" + p.repo + ":push,pull").code() }, want: "403 DENIED",
	},
	{
		Fact: Fact{
			Name: "google.tags-members", Sentence: "tags/list ignores n and last, and has the additional members child and manifest",
			Source: "https://github.com/google/go-containerregistry/blob/3f4ff3ca60f51c876ac4bd89e9a787157aaa4f15/pkg/v1/google/list.go#L140", Date: "2021-04", Evidence: EvidenceClient,
			Breaks: []string{
				"Link leads to the next tags", "last works without n", "n tags are listed", "n=0 lists no tags", "tags after last are listed",
			},
		},
		do: listTags(false, func(r *registry.Request, tags []string) ([]any, map[string]any) {
			manifests := make(map[string]any)
			for _, tag := range tags {
				d, err := r.Store().StatManifest(r.Context(), r.Repo, tag)
				if err != nil {
					continue // the tag was deleted meanwhile
				}
				tagged := []string{tag}
				if m, ok := manifests[string(d.Digest)].(map[string]any); ok {
					tagged = append(m["tag"].([]string), tag)
				}
				manifests[string(d.Digest)] = map[string]any{
					"imageSizeBytes": "0", "layerId": "", "mediaType": d.MediaType, "tag": tagged,
					"timeCreatedMs": "0", "timeUploadedMs": "1700000000000",
				}
			}
			return anys(tags), map[string]any{"child": []string{}, "manifest": manifests}
		}),
		probe: func(p *prober) string {
			tags := probeTags("?n=1")(p)
			if strings.Contains(p.do("GET", p.path("tags", "list"), "").body, `"manifest":{"sha256:`) {
				tags += " manifest"
			}
			return tags
		}, want: `["v1","v10","v2"] manifest`,
	},
	{
		Fact: Fact{
			Name: "google.delete-tagged-400", Sentence: "a manifest that has a tag cannot be deleted: 400 GOOGLE_MANIFEST_DANGLING_TAG",
			Source: "https://github.com/enix/kube-image-keeper/issues/636", Date: "2026", Evidence: EvidenceIssue,
			Breaks: []string{
				"deleted manifest and its tags are 404",
			},
		},
		do:    rule("delete-manifest where=tagged status=400 code=GOOGLE_MANIFEST_DANGLING_TAG"),
		probe: probeDelete("manifest"), want: "400 GOOGLE_MANIFEST_DANGLING_TAG",
	},
	{
		Fact: Fact{
			Name: "google.empty-blob-400", Sentence: "an empty blob is 400",
			Source: "https://github.com/oras-project/oras-go/blob/19db72b1264dc2d253c9e4bee41dff2184904246/pack.go#L405", Date: "2022-09", Evidence: EvidenceClient,
			Breaks: []string{
				"Content-Range of a 206 is true",
			},
		},
		do:    emptyBlob400("blob upload invalid"),
		probe: probeEmptyBlob, want: "400 BLOB_UPLOAD_INVALID",
	},
	{
		Fact: Fact{
			Name: "google.no-layers-in-indexes", Sentence: "an index whose children are layers, such as a build cache, is refused (the status 400 is inferred)",
			Source: "https://github.com/moby/buildkit/issues/2251", Date: "2021", Evidence: EvidenceIssue,
			Breaks: []string{
				"index of unknown media types",
			},
		},
		do:    noLayersInIndexes(http.StatusBadRequest, registry.CodeManifestInvalid, "manifest invalid"),
		probe: probeLayersInIndex, want: "400 MANIFEST_INVALID",
	},
}

// mediaTypes returns a function that reports whether a media type is one of
// those given. A given type that ends with * matches all types with that
// beginning.
func mediaTypes(known ...string) func(mediaType string) bool {
	return func(mediaType string) bool {
		return slices.ContainsFunc(known, func(k string) bool {
			prefix, open := strings.CutSuffix(k, "*")
			return open && strings.HasPrefix(mediaType, prefix) || mediaType == k
		})
	}
}
