package profile

import (
	"html"
	"net/http"
	"slices"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// Nexus returns the profile of Sonatype Nexus Repository.
func Nexus(opts ...Option) *Profile { return nexus.profile(nexus.name, opts) }

var nexus = site{
	name: "nexus", title: "Sonatype Nexus Repository",
	access: access{scheme: auth.Basic, basic: true},
	quirks: []quirk{
		{
			Fact: Fact{
				Name: "nexus.challenge", Sentence: "the scheme of the challenge is BASIC in capitals",
				Source: "https://github.com/devcontainers/cli/pull/884", Date: "2024-08", Evidence: EvidenceIssue,
			},
			do:    rewrittenChallenge(`BASIC realm="Sonatype Nexus Repository Manager"`),
			probe: probeChallenge, want: `401, WWW-Authenticate: BASIC realm="Sonatype Nexus Repository Manager"`,
		},
		{
			Fact: Fact{
				Name: "nexus.realm-null", Sentence: "version 3.77 sent a Bearer challenge whose realm begins with null://",
				Source: "https://github.com/sonatype/nexus-public/issues/580", Date: "2025-02", Evidence: EvidenceIssue,
			},
			setting: true,
			do:      rewrittenChallenge(`Bearer realm="null://<host>/v2/token",service="null://<host>/v2/token"`),
			probe:   probeChallenge, want: `401, WWW-Authenticate: Bearer realm="null://<host>/v2/token",service="null://<host>/v2/token"`,
		},
		{
			Fact: Fact{
				Name: "nexus.no-credentials-400", Sentence: "a request without credentials was reported to be 400, with JSON that is escaped as HTML",
				Source: "https://github.com/GoogleContainerTools/jib/issues/2898", Date: "2020-11", Evidence: EvidenceIssue,
			},
			setting: true,
			do: aboutAuth(wrap(func(_ *build, w http.ResponseWriter, r *registry.Request, err error, note func()) error {
				all := errorsOf(err)
				if len(all) == 0 || all[0].Code != registry.CodeUnauthorized {
					return err
				}
				note()
				_, text := withCode(all[0])
				return write(w, r, http.StatusBadRequest, "text/html", "[ERROR-400] DOCKER "+html.EscapeString(text))
			})),
			probe: func(p *prober) string {
				r := p.anonymous("GET", "/v2/", "")
				if strings.Contains(r.body, "&#34;errors&#34;") {
					return r.only() + " escaped"
				}
				return r.only()
			}, want: "400 escaped",
		},
		{
			Fact: Fact{
				Name: "nexus.head-manifest-404", Sentence: "HEAD of a manifest is 404, while GET is 200",
				Source: "https://github.com/crazy-max/diun/issues/1614", Date: "2026-02", Evidence: EvidenceIssue,
				Breaks: []string{
					"Content-Type of a manifest has no parameters", "HEAD has Content-Length", "HEAD has Docker-Content-Digest", "HEAD has the Content-Length of GET",
					"HEAD has the header fields of GET", "HEAD of existing content is 200", "conditional GET of current content is 304",
					"manifest keeps its Content-Type",
				},
			},
			do: rule("head-manifest where=found status=404").deciding("HEAD of manifests"),
			probe: func(p *prober) string {
				p.image("v1")
				return p.get("HEAD", "v1").only()
			}, want: "404",
		},
		{
			Fact: Fact{
				Name: "nexus.null-tags", Sentence: "tags/list may have null among the tags",
				Source: containersImage + "docker/docker_image.go#L94", Date: "2024-08", Evidence: EvidenceClient,
				Breaks: []string{
					"Link leads to the next tags", "list of tags has the repository name", "n tags are listed", "pages of tags are in order", "tags are in order",
					"tags of a repository without tags are 200",
				},
			},
			do: listTags(true, func(_ *registry.Request, tags []string) ([]any, map[string]any) {
				return slices.Insert(anys(tags), 0, any(nil)), nil
			}),
			probe: func(p *prober) string {
				p.image("v1")
				return probeListed(p)
			}, want: `[null,"v1"]`,
		},
	},
}
