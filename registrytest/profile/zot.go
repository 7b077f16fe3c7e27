package profile

import (
	"net/http"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// Zot returns the profile of zot with a file of passwords.
func Zot(opts ...Option) *Profile { return zot.profile(zot.name, opts) }

const zotSource = "https://github.com/project-zot/zot/blob/6d19b445fed1c86c23fb7b351fac07cfd4717402/pkg/api/"

var zot = site{
	name: "zot", title: "zot",
	access: access{scheme: auth.Basic, basic: true},
	quirks: []quirk{
		{
			Fact: Fact{
				Name: "zot.bare-401", Sentence: "the body of a 401 is an error that is not in a list",
				Source: zotSource + "authn.go", Date: "2026-08", Evidence: Code,
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
				Name: "zot.ping-challenges", Sentence: "the 200 of /v2/ has a challenge, too, with the scheme basic in small letters and a realm without quotes",
				Source: zotSource + "routes.go#L282", Date: "2026-08", Evidence: Code,
			},
			do:    aboutAuth(rule(`ping set-header="WWW-Authenticate:basic realm=zot"`)),
			probe: func(p *prober) string { return p.do("GET", "/v2/", "").field("WWW-Authenticate") }, want: "200, WWW-Authenticate: basic realm=zot",
		},
		{
			Fact: Fact{
				Name: "zot.unknown-last-404", Sentence: "tags/list after a tag that does not exist is 404 without a body",
				Source: zotSource + "routes.go#L320", Date: "2026-08", Evidence: Code,
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
				Name: "zot.bad-n-400", Sentence: "tags/list with an n that is no number is 400 without a body",
				Source: zotSource + "routes.go#L320", Date: "2026-08", Evidence: Code,
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
				Name: "zot.mount-ignores-from", Sentence: "a mount finds a blob that is anywhere, whatever from says",
				Source: zotSource + "routes.go#L1758", Date: "2026-08", Evidence: Code,
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
				Source: zotSource + "routes.go#L1758", Date: "2026-08", Evidence: Code,
			},
			do:    rule("start-upload has-header=?from status=405"),
			probe: func(p *prober) string { return p.do("POST", p.path("blobs", "uploads/")+"?from=x", "").only() }, want: "405",
		},
		{
			Fact: Fact{
				Name: "zot.post-type-415", Sentence: "a blob in a single POST with another Content-Type than application/octet-stream is 415",
				Source: zotSource + "routes.go#L1830", Date: "2026-08", Evidence: Code,
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
				Source: zotSource + "routes.go#L917", Date: "2026-08", Evidence: Code,
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
				Source: zotSource + "routes.go#L917", Date: "2026-08", Evidence: Code,
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
				Source: "https://github.com/oras-project/oras-go/issues/374", Date: "2022-12", Until: "2023-01", Evidence: Issue,
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
				Name: "zot.oci-only", Sentence: "manifests of Docker's media types are 415 MANIFEST_INVALID, unless zot is configured to take them",
				Source: zotSource + "routes.go#L740", Date: "2026-08", Evidence: Code,
				Breaks: []string{
					"manifest keeps its Content-Type", "media types are case-insensitive",
				},
			},
			do:    onlyManifests(mediaTypes(ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex), http.StatusUnsupportedMediaType, "manifest invalid"),
			probe: probeManifestType("application/vnd.docker.distribution.manifest.v2+json"), want: "415 MANIFEST_INVALID",
		},
	},
}
