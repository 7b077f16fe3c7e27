package profile

import (
	"net/http"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// ECRPublic returns the profile of Amazon ECR Public, public.ecr.aws.
func ECRPublic(opts ...Option) *Profile { return ecrPublic.profile(ecrPublic.name, opts) }

var ecrPublic = site{
	name: "ecr-public", title: "Amazon ECR Public",
	access: access{scheme: auth.BearerAlways, anonymous: true, service: "public.ecr.aws", path: "/token/"},
	quirks: []quirk{
		{
			Fact: Fact{
				Name: "ecr-public.challenge", Sentence: "every challenge has the scope aws, and one token covers all repositories",
				Source: "https://github.com/fluxcd/flux/issues/3492", Date: "2021-08", Evidence: EvidenceIssue,
			},
			do:    together(rewrittenChallenge(`Bearer realm="<registry>/token/",service="public.ecr.aws",scope="aws"`), coversEverything()),
			probe: probeChallenge, want: `401, WWW-Authenticate: Bearer realm="<registry>/token/",service="public.ecr.aws",scope="aws"`,
		},
		{
			Fact: Fact{
				Name: "ecr-public.denied-401", Sentence: "the error in a 401 response has the code DENIED",
				Source: "https://github.com/fluxcd/flux/issues/3492", Date: "2021-08", Evidence: EvidenceIssue,
			},
			do: aboutAuth(rewrite(func(_ *registry.Request, e registry.Error) *registry.Error {
				if e.Code != registry.CodeUnauthorized {
					return nil
				}
				e.Code, e.Status, e.Message = registry.CodeDenied, http.StatusUnauthorized, "Not Authorized"
				return &e
			})),
			probe: func(p *prober) string { return p.anonymous("GET", "/v2/", "").code() }, want: "401 DENIED",
		},
		{
			Fact: Fact{
				Name: "ecr-public.bad-token-400", Sentence: "a token that has expired or is not valid is 400, without a challenge",
				Source: roadmap + "2835", Date: "2026-07", Evidence: EvidenceIssue,
			},
			do:    aboutAuth(badToken(&registry.Error{Code: registry.CodeDenied, Status: http.StatusBadRequest, Message: "Your authorization token is invalid."})),
			probe: probeBadToken, want: "400 DENIED",
		},
		{
			Fact: Fact{
				Name: "ecr-public.token-12h", Sentence: "a token is valid for 12 hours",
				Source: "https://docs.amazonaws.cn/AmazonECR/latest/public/public-registry-auth.html", Evidence: EvidenceVendor,
			},
			do:    tokenLife(12 * time.Hour),
			probe: probeTokenLife, want: "12h0m0s",
		},
		{
			Fact: Fact{
				Name: "ecr-public.head-blob-401", Sentence: "HEAD of a blob is 401, while GET with the same token is 307",
				Source: "https://github.com/distribution/distribution/issues/4383", Date: "2025-04", Evidence: EvidenceIssue,
				Breaks: []string{
					"HEAD has Content-Length", "HEAD has Docker-Content-Digest", "HEAD has the Content-Length of GET", "HEAD has the header fields of GET",
					"HEAD of absent content is 404", "HEAD of existing content is 200", "absent repository is 404", "blob of another repository is 404",
					"conditional GET of current content is 304", "content of an unknown digest algorithm is 404", "deleted blob is 404",
				},
			},
			do: rule("head-blob status=401"),
			probe: func(p *prober) string {
				return p.do("HEAD", p.path("blobs", string(p.push(p.text(20)).Digest)), "").only()
			}, want: "401",
		},
		{
			Fact: Fact{
				Name: "ecr-public.blob-redirect", Sentence: "a GET of a blob is redirected to a storage with 307",
				Source: "https://github.com/distribution/distribution/issues/4383", Date: "2025-04", Evidence: EvidenceIssue,
				Breaks: []string{
					"Content-Range of a 206 is true", "If-Match and If-None-Match guard a blob from deletion", "blob has Docker-Content-Digest",
					"conditional GET of current content is 304", "namespace is confirmed by OCI-Namespace", "range of zero bytes is 416",
					"repeated If-None-Match is one list", "unknown range unit is ignored",
				},
			},
			do:    redirect(storage{host: "d2glxqk2uabbnd.cloudfront.net", status: http.StatusTemporaryRedirect}),
			probe: probeBlobRedirect("GET"), want: "307, storage 200",
		},
		{
			Fact: Fact{
				Name: "ecr-public.tags-unsorted", Sentence: "tags are listed in no particular order",
				Source: roadmap + "2091", Date: "2023-07", Evidence: EvidenceIssue,
				Breaks: []string{
					"pages of tags are in order", "tags are in order",
				},
			},
			do:    inPushOrder(),
			probe: probeTags(""), want: `["v2","v10","v1"]`,
		},
	},
}
