package profile

import (
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// Zot returns the profile of zot with a file of user names and passwords.
func Zot(opts ...Option) *Profile { return zot.profile(zot.name, opts) }

const zotSource = "https://github.com/project-zot/zot/blob/6d19b445fed1c86c23fb7b351fac07cfd4717402/pkg/api/"

var zot = site{
	name: "zot", title: "zot",
	access: access{scheme: auth.Basic, basic: true},
	quirks: []quirk{
		{
			Fact: Fact{
				Name: "zot.challenge", Sentence: "the challenge is Basic, with the realm Authorization Required unless one is configured",
				Source: zotSource + "authn.go", Date: "2026-11-30", Evidence: EvidenceTrace,
			},
			do:    rewrittenChallenge(`Basic realm="Authorization Required"`),
			probe: probeChallenge, want: `401, WWW-Authenticate: Basic realm="Authorization Required"`,
		},
		{
			Fact: Fact{
				Name: "zot.bare-401", Sentence: "the body of a 401 is an error that is not in a list",
				Source: zotSource + "authn.go", Date: "2026-08", Evidence: EvidenceCode,
			},
			do: aboutAuth(reshape(func(_ *registry.Request, e *registry.Error) bool {
				return e.Code == registry.CodeUnauthorized
			}, bare)),
			probe: func(p *prober) string {
				r := p.anonymous("GET", "/v2/", "")
				begin, _, _ := strings.Cut(r.body, ":")
				return r.only() + " " + begin
			}, want: `401 {"code"`,
		},
		{
			Fact: Fact{
				Name: "zot.ping-challenges", Sentence: "the 200 of /v2/ has a challenge as well; its scheme is basic in lower case, and its realm has no quotes and is empty unless configured",
				Source: zotSource + "routes.go#L282", Date: "2026-11-30", Evidence: EvidenceTrace,
			},
			do:    aboutAuth(rule(`ping set-header="WWW-Authenticate:basic realm="`)),
			probe: func(p *prober) string { return p.do("GET", "/v2/", "").field("WWW-Authenticate") }, want: "200, WWW-Authenticate: basic realm=",
		},
		{
			Fact: Fact{
				Name: "zot.unknown-last-404", Sentence: "tags/list after a tag that does not exist is 404 without a body",
				Source: zotSource + "routes.go#L320", Date: "2026-08", Evidence: EvidenceCode,
			},
			do: ruleIf("list-tags has-header=?last status=404 body=empty", func(_ *build, r *registry.Request) bool {
				_, err := r.Store().StatManifest(r.Context(), r.Repo, r.URL.Query().Get("last"))
				return err != nil
			}).deciding("unknown last"),
			probe: func(p *prober) string {
				p.image("v1")
				r := p.do("GET", p.path("tags", "list")+"?last=v0", "")
				return r.only() + r.body
			}, want: "404",
		},
		{
			Fact: Fact{
				Name: "zot.bad-n-400", Sentence: "tags/list with an n that is not a number is 400 without a body",
				Source: zotSource + "routes.go#L320", Date: "2026-08", Evidence: EvidenceCode,
			},
			do: ruleIf("list-tags has-header=?n status=400 body=empty", func(_ *build, r *registry.Request) bool {
				_, err := strconv.Atoi(r.URL.Query().Get("n"))
				return err != nil
			}),
			probe: func(p *prober) string {
				p.image("v1")
				r := p.do("GET", p.path("tags", "list")+"?n=x", "")
				return r.only() + r.body
			}, want: "400",
		},
		{
			Fact: Fact{
				Name: "zot.mount-ignores-from", Sentence: "a mount finds a blob in any repository, whatever from says",
				Source: zotSource + "routes.go#L1758", Date: "2026-08", Evidence: EvidenceCode,
				Breaks: []string{
					"mount of an invalid digest starts an upload",
				},
			},
			do: behaviour{{decides: "mounts", build: func(b *build, q *quirk) {
				b.addFault([]registry.Op{registry.MountBlob}, func(r *registry.Request) *registry.Fault {
					if _, err := r.Store().StatBlob(r.Context(), r.From, r.Digest); r.From == "" || err == nil {
						return nil
					}
					return &registry.Fault{Quirk: true, Before: func(r *registry.Request) error {
						r.Note(q.receipt())
						r.From = ""
						return nil
					}}
				})
			}}},
			probe: func(p *prober) string {
				layer := p.push(p.text(20))
				other := *p
				other.repo += "/other"
				return p.do("POST", param(param(other.path("blobs", "uploads/"), "mount", string(layer.Digest)), "from", p.absent), "").only()
			}, want: "201",
		},
		{
			Fact: Fact{
				Name: "zot.from-without-mount-405", Sentence: "a POST with from and without mount is 405",
				Source: zotSource + "routes.go#L1758", Date: "2026-08", Evidence: EvidenceCode,
			},
			do:    rule("start-upload has-header=?from status=405"),
			probe: func(p *prober) string { return p.do("POST", p.path("blobs", "uploads/")+"?from=x", "").only() }, want: "405",
		},
		{
			Fact: Fact{
				Name: "zot.post-type-415", Sentence: "a blob in a single POST with a Content-Type other than application/octet-stream is 415",
				Source: zotSource + "routes.go#L1830", Date: "2026-08", Evidence: EvidenceCode,
			},
			do: ruleIf("post-blob status=415 body=empty", func(_ *build, r *registry.Request) bool {
				return r.Header.Get("Content-Type") != "application/octet-stream"
			}),
			probe: func(p *prober) string {
				d := p.push("x").Digest
				return p.do("POST", param(p.path("blobs", "uploads/"), "digest", string(d)), "x", "Content-Type", "text/plain").only()
			}, want: "415",
		},
		{
			Fact: Fact{
				Name: "zot.delete-in-index-405", Sentence: "a manifest that an index lists cannot be deleted: 405 DENIED",
				Source: zotSource + "routes.go#L917", Date: "2026-08", Evidence: EvidenceCode,
			},
			do: rule("delete-manifest where=referenced status=405 code=DENIED"),
			probe: func(p *prober) string {
				i := p.build(nil)
				p.want(p.put(i, string(i.Digest)), "pushing a manifest", http.StatusCreated)
				index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{i.Descriptor}}
				index.SchemaVersion = 2
				p.want(p.put(p.encode(index, index.MediaType), "v1"), "pushing an index", http.StatusCreated)
				return p.do("DELETE", p.path("manifests", string(i.Digest)), "").code()
			}, want: "405 DENIED",
		},
		{
			Fact: Fact{
				Name: "zot.delete-missing-repository-400", Sentence: "a deletion in a repository that does not exist is 400 NAME_UNKNOWN",
				Source: zotSource + "routes.go#L917", Date: "2026-08", Evidence: EvidenceCode,
				Breaks: []string{
					"deleting a manifest of an absent repository is 404",
				},
			},
			do: rule("delete-manifest,delete-tag where=!repo-exists status=400 code=NAME_UNKNOWN"),
			probe: func(p *prober) string {
				missing := *p
				missing.repo += "/missing"
				return missing.do("DELETE", missing.path("manifests", "v1"), "").code()
			}, want: "400 NAME_UNKNOWN",
		},
		{
			Fact: Fact{
				Name: "zot.manifest-without-length", Sentence: "a manifest of more than 2,048 bytes came without Content-Length (the end is inferred)",
				Source: "https://github.com/oras-project/oras-go/issues/374", Date: "2022-12", Until: "2023-01", Evidence: EvidenceIssue,
			},
			do: header(func(_ *registry.Request, status int, h http.Header) int {
				if n, err := strconv.Atoi(h.Get("Content-Length")); err == nil && n > 2048 {
					h.Del("Content-Length")
				}
				return status
			}, registry.GetManifest),
			probe: func(p *prober) string {
				i := p.build(nil)
				i.text += strings.Repeat(" ", 2048)
				p.put(i, "v1")
				return p.get("GET", "v1").field("Content-Length")
			}, want: "200, no Content-Length",
		},
		{
			Fact: Fact{
				Name: "zot.oci-only", Sentence: "manifests of Docker's media types are 415 MANIFEST_INVALID, unless zot is configured to accept them",
				Source: zotSource + "routes.go#L740", Date: "2026-08", Evidence: EvidenceCode,
				Breaks: []string{
					"manifest keeps its Content-Type", "media types are case-insensitive",
				},
			},
			do:    onlyManifests(mediaTypes(ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex), http.StatusUnsupportedMediaType, "manifest invalid"),
			probe: probeManifestType("application/vnd.docker.distribution.manifest.v2+json"), want: "415 MANIFEST_INVALID",
		},
		{
			Fact: Fact{
				Name: "zot.content-type-parameters", Sentence: "a manifest whose Content-Type has a parameter is 415",
				Source: zotSource + "routes.go#L740", Date: "2026-11-30", Evidence: EvidenceTrace,
				Breaks: []string{
					"parameters of the Content-Type are ignored",
				},
			},
			do:    typeWithoutParameters(registry.Error{Status: http.StatusUnsupportedMediaType, Code: registry.CodeManifestInvalid, Message: "manifest invalid"}),
			probe: probeTypeParameter, want: "415",
		},
		{
			Fact: Fact{
				Name: "zot.missing-blob-invalid", Sentence: "a manifest whose blob is missing is 400 MANIFEST_INVALID",
				Source: zotSource + "routes.go#L740", Date: "2026-11-30", Evidence: EvidenceTrace,
				Breaks: []string{
					"layer of an unknown digest algorithm is accepted or MANIFEST_BLOB_UNKNOWN", "manifest with missing content is accepted or MANIFEST_BLOB_UNKNOWN",
				},
			},
			do:    recode(registry.CodeManifestBlobUnknown, registry.CodeManifestInvalid, http.StatusBadRequest, registry.PutManifest),
			probe: probeMissingBlob, want: "400 MANIFEST_INVALID",
		},
		{
			Fact: Fact{
				Name: "zot.moved-tag-deletes", Sentence: "a manifest is deleted when its last tag moves to another one",
				Source: zotSource + "../storage/common/common.go", Date: "2026-11-30", Evidence: EvidenceTrace,
				Breaks: []string{
					"tag moves to the last manifest pushed",
				},
			},
			do: behaviour{{build: func(b *build, q *quirk) {
				b.addFault([]registry.Op{registry.PutManifest}, func(r *registry.Request) *registry.Fault {
					old, err := r.Store().StatManifest(r.Context(), r.Repo, r.Tag)
					if r.Tag == "" || err != nil {
						return nil
					}
					return &registry.Fault{Quirk: true, Header: func(status int, h http.Header) int {
						if status != http.StatusCreated || h.Get("Docker-Content-Digest") == string(old.Digest) || tagsOf(r, old.Digest) > 0 {
							return status
						}
						if r.Store().DeleteManifest(r.Context(), r.Repo, old.Digest) == nil {
							r.Note(q.receipt())
						}
						return status
					}}
				})
			}}},
			probe: func(p *prober) string {
				old := p.image("v1")
				p.image("v1")
				return p.get("GET", string(old.Digest)).code()
			}, want: "404 MANIFEST_UNKNOWN",
		},
		{
			Fact: Fact{
				Name: "zot.head-mounts", Sentence: "HEAD of a blob that is only in another repository is 200, and adds it to this one",
				Source: zotSource + "routes.go#L1390", Date: "2026-11-30", Evidence: EvidenceTrace,
				Breaks: []string{
					"blob of another repository is 404",
				},
			},
			do: headMounts(),
			probe: func(p *prober) string {
				other := *p
				other.repo += "/other"
				blob := string(p.push(p.text(20)).Digest)
				other.push(other.text(20))
				return other.do("HEAD", other.path("blobs", blob), "").only() + ", then " + other.do("GET", other.path("blobs", blob), "").only()
			}, want: "200, then 200",
		},
		{
			Fact: Fact{
				Name: "zot.no-etag", Sentence: "responses have no ETag, and If-None-Match is ignored",
				Source: zotSource + "routes.go", Date: "2026-11-30", Evidence: EvidenceTrace,
			},
			do:    withoutETags(),
			probe: probeETag, want: "200, no ETag",
		},
		{
			Fact: Fact{
				Name: "zot.chunk-416", Sentence: "a chunk out of order is 416 BLOB_UPLOAD_INVALID, without Range and Location",
				Source: zotSource + "routes.go#L2038", Date: "2026-11-30", Evidence: EvidenceTrace,
			},
			do: rewrite(func(r *registry.Request, e registry.Error) *registry.Error {
				if r.Op != registry.PatchUpload || e.Status != http.StatusRequestedRangeNotSatisfiable {
					return nil
				}
				return &registry.Error{Code: registry.CodeBlobUploadInvalid, Status: e.Status, Message: "blob upload invalid"}
			}).deciding("chunks out of order"),
			probe: probeOutOfOrder, want: "416 BLOB_UPLOAD_INVALID, no Location, no Range",
		},
		{
			Fact: Fact{
				Name: "zot.range-of-stream", Sentence: "the Range after a PATCH without Content-Range is that of its bytes alone",
				Source: zotSource + "routes.go#L2038", Date: "2026-11-30", Evidence: EvidenceTrace,
			},
			do: rangeOfBody(func(r *registry.Request) bool { return r.Header.Get("Content-Range") == "" }),
			probe: func(p *prober) string {
				first := p.chunk(p.start(), 0, "0123456789")
				return p.do("PATCH", p.location(first), "01234", "Content-Type", "application/octet-stream").field("Range")
			}, want: "202, Range: 0-4",
		},
		{
			Fact: Fact{
				Name: "zot.catalog-unknown-last", Sentence: "the catalog after a repository that does not exist is empty",
				Source: zotSource + "routes.go", Date: "2026-11-30", Evidence: EvidenceTrace,
				Breaks: []string{
					"Link leads to the next repositories",
				},
			},
			do: serve(func(_ *build, r *registry.Request) registry.Handler {
				if last := r.URL.Query().Get("last"); last == "" || hasContent(r, last) {
					return nil
				}
				return func(w http.ResponseWriter, r *registry.Request) error {
					return write(w, r, http.StatusOK, "application/json", `{"repositories":[]}`)
				}
			}, registry.ListRepositories).deciding("the catalog after an unknown repository"),
			probe: func(p *prober) string {
				p.image("v1")
				return p.do("GET", "/v2/_catalog?last="+p.within+"/a", "").body
			}, want: `{"repositories":[]}`,
		},
		{
			Fact: Fact{
				Name: "zot.illegal-name-404", Sentence: "a path with a name that is not valid is 404 with text/plain, since no route matches",
				Source: zotSource + "routes.go", Date: "2026-11-30", Evidence: EvidenceTrace,
			},
			do:    illegalName404(),
			probe: probeIllegalName, want: "404, Content-Type: text/plain; charset=utf-8",
		},
	},
}

// headMounts returns the behaviour of a registry that mounts a missing blob from
// any other repository when it gets a HEAD request for the blob. It does not
// mount a blob that was deleted from the repository.
func headMounts() behaviour {
	return behaviour{{build: func(b *build, q *quirk) {
		type key struct {
			repo string
			blob digest.Digest
		}
		var deleted sync.Map // keys of deleted blobs
		for _, p := range onResponse(func(r *registry.Request, status int, _ http.Header, _ func()) int {
			if status == http.StatusAccepted {
				deleted.Store(key{r.Repo, r.Digest}, true)
			}
			return status
		}, registry.DeleteBlob) {
			p.build(b, q)
		}
		// The mount follows authorization, so it does not help a client without
		// permission.
		b.authorizers = append(b.authorizers, func(r *registry.Request, repo string, a registry.Action) error {
			if r.Op != registry.HeadBlob || repo != r.Repo || a != r.Op.Action() {
				return nil
			}
			if _, ok := deleted.Load(key{r.Repo, r.Digest}); !ok && mountFromAnywhere(r) {
				r.Note(q.receipt())
			}
			return nil
		})
	}}}
}

// mountFromAnywhere mounts the requested blob from any other repository, unless
// the request's repository has it. It reports whether it mounted the blob.
func mountFromAnywhere(r *registry.Request) bool {
	if _, err := r.Store().StatBlob(r.Context(), r.Repo, r.Digest); err == nil {
		return false
	}
	for repo, err := range r.Store().Repositories(r.Context(), "") {
		if err == nil && r.Store().MountBlob(r.Context(), r.Repo, r.Digest, repo) == nil {
			return true
		}
	}
	return false
}
