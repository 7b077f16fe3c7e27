package profile

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// ACR returns the profile of Azure Container Registry, without anonymous pulls.
func ACR(opts ...Option) *Profile { return acr.profile(acr.name, opts) }

const acrReport = conformanceReports + "v1.1/azurecontainerregistry/report.html"

var acr = site{
	name: "acr", title: "Azure Container Registry",
	access: access{scheme: auth.Bearer, path: "/oauth2/token"},
	quirks: []quirk{
		{
			Fact: Fact{
				Name: "acr.challenge", Sentence: "tokens are from /oauth2/token, and the service is the host of the registry",
				Source: acrReport, Date: "2024-06", Evidence: EvidenceTrace,
			},
			do:    challenges(),
			probe: probeChallenge, want: `401, WWW-Authenticate: Bearer realm="<registry>/oauth2/token",service="<host>",scope="repository:<repo>:pull"`,
		},
		{
			Fact: Fact{
				Name: "acr.metadata-read", Sentence: "tags/list requires the action metadata_read, not pull",
				Source: acrReport, Date: "2024-06", Evidence: EvidenceTrace,
			},
			do: challenge(func(r *registry.Request, values []string) []string {
				if r.Op != registry.ListTags {
					return values
				}
				changed := make([]string, len(values))
				for i, v := range values {
					changed[i] = strings.Replace(v, `:pull"`, `:metadata_read"`, 1)
				}
				return changed
			}),
			probe: func(p *prober) string {
				_, scope, _ := strings.Cut(p.anonymous("GET", p.path("tags", "list"), "").header.Get("WWW-Authenticate"), "scope=")
				return p.local(scope)
			}, want: `"repository:<repo>:metadata_read"`,
		},
		{
			Fact: Fact{
				Name: "acr.access-token-only", Sentence: "the response of the token service has only the field access_token",
				Source: "https://github.com/Azure/acr/blob/81b818eba36f77132a40ff3027897d2a830792f9/docs/Token-BasicAuth.md", Date: "2024-09", Evidence: EvidenceVendor,
			},
			do:    tokenOnly("access_token"),
			probe: probeTokenFields, want: "200 access_token",
		},
		{
			Fact: Fact{
				Name: "acr.token-post-400", Sentence: "a POST to the token service with a name and a password is 400",
				Source: "https://github.com/containerd/containerd/blob/301026e58c619e63d09c0ec411012e54c0124b03/core/remotes/docker/authorizer.go#L323", Date: "2022", Evidence: EvidenceClient,
			},
			do: aboutAuth(serve(func(_ *build, r *registry.Request) registry.Handler {
				if r.Method != http.MethodPost || formOf(r).Get("grant_type") != "password" {
					return nil
				}
				return func(w http.ResponseWriter, r *registry.Request) error {
					return write(w, r, http.StatusBadRequest, "", "")
				}
			}, registry.GetToken)).deciding("POST of tokens"),
			probe: probeTokenPost, want: "400, no code",
		},
		{
			Fact: Fact{
				Name: "acr.upload-state", Sentence: "the Location of an upload has a _state; another state, such as the one before the last chunk, is 404 BLOB_UPLOAD_INVALID",
				Source: "https://github.com/Azure/azure-sdk-for-js/issues/25448", Date: "2023-04", Evidence: EvidenceIssue,
			},
			do:    uploadState(stateRule{missing: invalidState, used: invalidState, ends: true}),
			probe: probeState, want: "404 BLOB_UPLOAD_INVALID; status 404; used 404 BLOB_UPLOAD_INVALID",
		},
		{
			Fact: Fact{
				Name: "acr.chunk-416", Sentence: "a chunk out of order is 416 BLOB_UPLOAD_RANGE_INVALID",
				Source: acrReport, Date: "2024-06", Evidence: EvidenceTrace,
			},
			do: rewrite(func(r *registry.Request, e registry.Error) *registry.Error {
				if r.Op != registry.PatchUpload || e.Status != http.StatusRequestedRangeNotSatisfiable {
					return nil
				}
				e.Code, e.Message = "BLOB_UPLOAD_RANGE_INVALID", "range invalid"
				return &e
			}).deciding("chunks out of order"),
			probe: probeOutOfOrder, want: "416 BLOB_UPLOAD_RANGE_INVALID",
		},
		{
			Fact: Fact{
				Name: "acr.body-limit", Sentence: "a blob of more than 20 MB in one PUT is 413",
				Source: "https://github.com/goharbor/harbor/issues/23015", Date: "2026-03", Evidence: EvidenceIssue,
			},
			do: rule("put-upload where=body>20000000 status=413 code=SIZE_INVALID"),
			probe: func(p *prober) string {
				return p.do("PUT", param(p.start(), "digest", string(p.push("x").Digest)), strings.Repeat("x", 20_000_001)).only()
			}, want: "413",
		},
		{
			Fact: Fact{
				Name: "acr.anonymous-mount-202", Sentence: "a mount without from starts an upload session",
				Source: acrReport, Date: "2024-06", Evidence: EvidenceTrace,
			},
			do:    noAnonymousMount(),
			probe: probeMount(false), want: "202",
		},
		{
			Fact: Fact{
				Name: "acr.blob-redirect", Sentence: "a GET of a blob is redirected to Azure's storage, whose responses have no digest; HEAD is not",
				Source: acrReport, Date: "2024-06", Evidence: EvidenceTrace,
				Breaks: []string{
					"Content-Range of a 206 is true", "If-Match and If-None-Match guard a blob from deletion", "blob has Docker-Content-Digest",
					"conditional GET of current content is 304", "namespace is confirmed by OCI-Namespace", "range of zero bytes is 416",
					"repeated If-None-Match is one list", "unknown range unit is ignored",
				},
			},
			do:    redirect(storage{host: "eusmanaged1.blob.core.windows.net", status: http.StatusTemporaryRedirect, refuses: true}),
			probe: probeBlobRedirect("GET"), want: "307, storage 200",
		},
		{
			Fact: Fact{
				Name: "acr.no-tag-delete", Sentence: "a tag cannot be deleted: 405 UNSUPPORTED",
				Source: acrReport, Date: "2024-06", Evidence: EvidenceTrace,
			},
			do:    rule(`delete-tag status=405 code=UNSUPPORTED message="A manifest can only be deleted by digest."`).lacking(registry.DeleteTag),
			probe: probeDelete("tag"), want: "405 UNSUPPORTED",
		},
		{
			Fact: Fact{
				Name: "acr.empty-repository-404", Sentence: "the list of tags is 404 NAME_UNKNOWN after the last tag is deleted",
				Source: acrReport, Date: "2024-06", Evidence: EvidenceTrace,
				Breaks: []string{
					"tags of a repository without tags are 200",
				},
			},
			do:    emptyRepository404(),
			probe: probeEmptyRepository, want: "404 NAME_UNKNOWN",
		},
		{
			Fact: Fact{
				Name: "acr.link-orderby", Sentence: "the Link to more tags has the additional parameter orderby",
				Source: acrReport, Date: "2024-06", Evidence: EvidenceTrace,
			},
			do: header(func(_ *registry.Request, status int, h http.Header) int {
				if link := h.Get("Link"); link != "" {
					h.Set("Link", strings.Replace(link, ">", "&orderby=>", 1))
				}
				return status
			}, registry.ListTags),
			probe: func(p *prober) string {
				p.image("v1")
				p.image("v2")
				_, after, _ := strings.Cut(p.do("GET", p.path("tags", "list")+"?n=1", "").header.Get("Link"), "orderby")
				return after
			}, want: `=>; rel="next"`,
		},
		{
			Fact: Fact{
				Name: "acr.illegal-name-404", Sentence: "a path with a name that is not valid is 404 with text/plain, before authentication",
				Source: acrReport, Date: "2024-06", Evidence: EvidenceTrace,
			},
			do:    illegalName404(),
			probe: probeIllegalName, want: "404, Content-Type: text/plain; charset=utf-8",
		},
		{
			Fact: Fact{
				Name: "acr.rate-header", Sentence: "deletions and tokens come with the number of calls that remain in this second",
				Source: acrReport, Date: "2024-06", Evidence: EvidenceTrace,
			},
			do: rule("token,delete-manifest,delete-blob set-header=X-Ms-Ratelimit-Remaining-Calls-Per-Second:333.283333"),
			probe: func(p *prober) string {
				return p.do("DELETE", p.path("manifests", string(p.image("v1").Digest)), "").field("X-Ms-Ratelimit-Remaining-Calls-Per-Second")
			}, want: "202, X-Ms-Ratelimit-Remaining-Calls-Per-Second: 333.283333",
		},
	},
}

// maxForm limits the size in bytes of the forms that quirks read.
const maxForm = 64 << 10

// formOf returns the form in the body of a request. The registry can still read
// the body.
func formOf(r *registry.Request) url.Values {
	text, _ := io.ReadAll(io.LimitReader(r.Body, maxForm))
	hr := *r.Request
	hr.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(text), r.Body), r.Body}
	r.Request = &hr
	form, _ := url.ParseQuery(string(text))
	return form
}
