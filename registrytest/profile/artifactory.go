package profile

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// Artifactory returns the profile of JFrog Artifactory. The first element of a
// repository name is the key of a repository in Artifactory.
func Artifactory(opts ...Option) *Profile { return artifactory.profile(artifactory.name, opts) }

const artifactoryReport = conformanceReports + "v1.1/artifactory/report.html"

var artifactory = site{
	name: "artifactory", title: "JFrog Artifactory",
	access: access{scheme: auth.BearerOrBasic, path: "/v2/token"},
	quirks: []quirk{
		{
			Fact: Fact{
				Name: "artifactory.challenge", Sentence: "the scope lacks the repository key, the first element of the name",
				Source: artifactoryReport, Date: "2024-08", Evidence: EvidenceTrace,
			},
			do: append(challenge(func(r *registry.Request, values []string) []string {
				_, name, _ := strings.Cut(r.Repo, "/")
				bearer := strings.Replace(values[0], "repository:"+r.Repo+":", "repository:"+name+":", 1)
				return []string{bearer}
			}), coversEverything()...),
			probe: func(p *prober) string {
				return strings.Replace(probeChallenge(p), ":"+p.withoutKey()+":", ":<name>:", 1)
			}, want: `401, WWW-Authenticate: Bearer realm="<registry>/v2/token",service="<host>",scope="repository:<name>:pull"`,
		},
		{
			Fact: Fact{
				Name: "artifactory.referrers-basic", Sentence: "the challenge of the referrers API is Basic, while the others are Bearer",
				Source: artifactoryReport, Date: "2024-08", Evidence: EvidenceTrace,
			},
			do: challenge(func(r *registry.Request, values []string) []string {
				if r.Op != registry.ListReferrers {
					return values
				}
				return []string{`Basic realm="Artifactory Realm"`}
			}),
			probe: func(p *prober) string {
				return p.anonymous("GET", p.path("referrers", string(digest.FromString("x"))), "").field("WWW-Authenticate")
			}, want: `401, WWW-Authenticate: Basic realm="Artifactory Realm"`,
		},
		{
			Fact: Fact{
				Name: "artifactory.token-post-401", Sentence: "a POST to the token service is 401",
				Source: "https://github.com/containerd/containerd/blob/301026e58c619e63d09c0ec411012e54c0124b03/core/remotes/docker/authorizer.go#L322", Date: "2018", Evidence: EvidenceClient,
			},
			do: aboutAuth(rule("token method=POST status=401 body=no-code")).deciding("POST of tokens"),
			probe: func(p *prober) string {
				return p.anonymous("POST", p.realm(), "grant_type=refresh_token&refresh_token=x", "Content-Type", "application/x-www-form-urlencoded").code()
			}, want: "401, no code",
		},
		{
			Fact: Fact{
				Name: "artifactory.absolute-locations", Sentence: "Location and Link begin with the scheme and the host",
				Source: artifactoryReport, Date: "2024-08", Evidence: EvidenceTrace,
			},
			do:    absoluteLocations(),
			probe: probeLocationOrigin, want: "<registry>",
		},
		{
			Fact: Fact{
				Name: "artifactory.upload-without-range", Sentence: "the response that starts an upload has no Range",
				Source: artifactoryReport, Date: "2024-08", Evidence: EvidenceTrace,
			},
			do:    rule("start-upload drop-header=Range").deciding("the Range of new uploads"),
			probe: func(p *prober) string { return p.do("POST", p.path("blobs", "uploads/"), "").field("Range") }, want: "202, no Range",
		},
		{
			Fact: Fact{
				Name: "artifactory.range-of-chunk", Sentence: "the Range after a chunk is that of the chunk alone, and after a stream its end is the number of bytes",
				Source: artifactoryReport, Date: "2024-08", Evidence: EvidenceTrace,
				Breaks: []string{
					"chunk is 202 with Location and Range", "chunk without Content-Range is appended",
				},
			},
			do: header(func(r *registry.Request, status int, h http.Header) int {
				if status != http.StatusAccepted {
					return status
				}
				if chunk := r.Header.Get("Content-Range"); chunk != "" {
					h.Set("Range", chunk)
				} else if last, err := strconv.Atoi(strings.TrimPrefix(h.Get("Range"), "0-")); err == nil {
					h.Set("Range", "0-"+strconv.Itoa(last+1))
				}
				return status
			}, registry.PatchUpload).deciding("the Range of chunks"),
			probe: func(p *prober) string {
				first := p.chunk(p.start(), 0, "0123456789")
				return p.chunk(p.location(first), 10, "0123456789").field("Range")
			}, want: "202, Range: 10-19",
		},
		{
			Fact: Fact{
				Name: "artifactory.errors-without-code", Sentence: "an error of an upload has a status and a message, and no code",
				Source: artifactoryReport, Date: "2024-08", Evidence: EvidenceTrace,
			},
			do: reshape(func(r *registry.Request, e *registry.Error) bool {
				return r.Op == registry.PatchUpload && e.Status == http.StatusRequestedRangeNotSatisfiable
			}, withoutCode).deciding("chunks out of order"),
			probe: probeOutOfOrder, want: "416, no code",
		},
		{
			Fact: Fact{
				Name: "artifactory.no-mount", Sentence: "a mount always starts an upload session",
				Source: artifactoryReport, Date: "2024-08", Evidence: EvidenceTrace,
			},
			do: together(without(registry.MountBlob, func(r *registry.Request, status int, _ http.Header) bool {
				return status == http.StatusAccepted && mountable(r)
			}, registry.MountBlob), behaviour{}.lacking(registry.AnonymousMount)).deciding("mounts"),
			probe: probeMount(true), want: "202",
		},
		{
			Fact: Fact{
				Name: "artifactory.manifest-location", Sentence: "the Location of a pushed manifest names an upload, and cannot be pulled",
				Source: artifactoryReport, Date: "2024-08", Evidence: EvidenceTrace,
				Breaks: []string{
					"manifest is 201 with the Location of the manifest",
				},
			},
			do: header(func(_ *registry.Request, status int, h http.Header) int {
				if status == http.StatusCreated {
					h.Set("Location", strings.Replace(h.Get("Location"), "/manifests/", "/blobs/uploads/", 1))
				}
				return status
			}, registry.PutManifest).deciding("the Location of manifests"),
			probe: func(p *prober) string {
				i := p.build(nil)
				_, last, _ := strings.Cut(p.put(i, "v1").header.Get("Location"), p.repo)
				return strings.ReplaceAll(last, string(i.Digest), "<digest>")
			}, want: "/blobs/uploads/<digest>",
		},
		{
			Fact: Fact{
				Name: "artifactory.no-blob-delete", Sentence: "a blob cannot be deleted: 405 without a code",
				Source: artifactoryReport, Date: "2024-08", Evidence: EvidenceTrace,
			},
			do:    rule("delete-blob status=405 body=no-code set-header=Allow:HEAD,GET,OPTIONS").lacking(registry.DeleteBlob),
			probe: probeDelete("blob"), want: "405, no code",
		},
		{
			Fact: Fact{
				Name: "artifactory.empty-repository-404", Sentence: "the list of tags is 404 NAME_UNKNOWN after the last tag is deleted",
				Source: artifactoryReport, Date: "2024-08", Evidence: EvidenceTrace,
				Breaks: []string{
					"tags of a repository without tags are 200",
				},
			},
			do:    emptyRepository404(),
			probe: probeEmptyRepository, want: "404 NAME_UNKNOWN",
		},
		{
			Fact: Fact{
				Name: "artifactory.missing-403", Sentence: "a manifest that is missing in a virtual repository is 403 UNAUTHORIZED",
				Source: "https://github.com/sigstore/cosign/issues/2973", Date: "2023-05", Evidence: EvidenceIssue,
				Breaks: []string{
					"HEAD of absent content is 404", "absent manifest is 404", "absent repository is 404", "content of an unknown digest algorithm is 404",
					"deleted manifest and its tags are 404", "deleted tag is 404", "manifest that does not match its digest is refused",
				},
			},
			do: rule(`get-manifest,head-manifest where=!found status=403 code=UNAUTHORIZED message="The client does not have permission for manifest"`).deciding("missing manifests"),
			probe: func(p *prober) string {
				p.image("v1")
				return p.get("GET", "v2").code()
			}, want: "403 UNAUTHORIZED",
		},
		{
			Fact: Fact{
				Name: "artifactory.link-without-key", Sentence: "the Link to more tags lacks the repository key, and leads nowhere",
				Source: renovateDocker + "index.ts#L795", Date: "2023-03", Evidence: EvidenceClient,
				Breaks: []string{
					"Link leads to the next tags",
				},
			},
			do: header(func(r *registry.Request, status int, h http.Header) int {
				if _, name, ok := strings.Cut(r.Repo, "/"); ok && h.Get("Link") != "" {
					h.Set("Link", strings.Replace(h.Get("Link"), "/"+r.Repo+"/", "/"+name+"/", 1))
				}
				return status
			}, registry.ListTags),
			probe: func(p *prober) string {
				p.image("v1")
				p.image("v2")
				_, link, _ := strings.Cut(p.do("GET", p.path("tags", "list")+"?n=1", "").header.Get("Link"), "/v2/")
				link, _, _ = strings.Cut(link, "?")
				return strings.Replace(link, p.withoutKey(), "<name>", 1)
			}, want: "<name>/tags/list",
		},
		{
			Fact: Fact{
				Name: "artifactory.digests-among-tags", Sentence: "tags/list may have the digest of a manifest among the tags",
				Source: containersImage + "docker/docker_image.go#L100", Date: "2024-06", Evidence: EvidenceClient,
				Breaks: []string{
					"Link leads to the next tags", "last works without n", "list of tags has the repository name", "n tags are listed", "pages of tags are in order",
					"tags after last are listed", "tags are in order",
				},
			},
			do: listTags(true, func(r *registry.Request, tags []string) ([]any, map[string]any) {
				entries := anys(tags)
				if len(tags) > 0 {
					if d, err := r.Store().StatManifest(r.Context(), r.Repo, tags[0]); err == nil {
						entries = append(entries, string(d.Digest))
					}
				}
				return entries, nil
			}),
			probe: func(p *prober) string {
				i := p.image("v1")
				return strings.ReplaceAll(probeListed(p), string(i.Digest), "<digest>")
			}, want: `["v1","<digest>"]`,
		},
		{
			Fact: Fact{
				Name: "artifactory.manifest-range-400", Sentence: "a Range in the request for a manifest is 400",
				Source: "https://github.com/containerd/containerd/issues/11953", Date: "2025-06", Evidence: EvidenceIssue,
			},
			do: rule("get-manifest has-header=Range status=400"),
			probe: func(p *prober) string {
				p.image("v1")
				return p.do("GET", p.path("manifests", "v1"), "", "Accept", "*/*", "Range", "bytes=0-").only()
			}, want: "400",
		},
		{
			Fact: Fact{
				Name: "artifactory.referrers-406", Sentence: "before 7.90.1, the referrers API was 406",
				Source: "https://github.com/google/go-containerregistry/issues/1962", Date: "2024-06", Until: "2024-08", Evidence: EvidenceIssue,
				Breaks: []string{
					"OCI-Subject is absent without the referrers API", "referrers are 404 if the API is unsupported",
				},
			},
			do:    rule("list-referrers status=406 body=no-code").lacking(registry.ListReferrers).deciding("referrers"),
			probe: probeReferrers, want: "406, no code",
		},
		{
			Fact: Fact{
				Name: "artifactory.no-layers-in-indexes", Sentence: "an index whose children are layers, such as a build cache, is refused (the status 400 is inferred)",
				Source: "https://github.com/moby/buildkit/issues/2251", Date: "2021", Evidence: EvidenceIssue,
				Breaks: []string{
					"index of unknown media types",
				},
			},
			do:    noLayersInIndexes(http.StatusBadRequest, registry.CodeManifestInvalid, "manifest invalid"),
			probe: probeLayersInIndex, want: "400 MANIFEST_INVALID",
		},
	},
}

// probeListed is a probe of the names in the list of tags.
func probeListed(p *prober) string {
	_, tags, _ := strings.Cut(p.do("GET", p.path("tags", "list"), "").body, `"tags":`)
	tags, _, _ = strings.Cut(tags, "]")
	return tags + "]"
}

// withoutKey returns the name of the repository without its first element, which
// Artifactory calls the key.
func (p *prober) withoutKey() string {
	_, name, _ := strings.Cut(p.repo, "/")
	return name
}
