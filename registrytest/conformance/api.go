package conformance

import (
	"encoding/json"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/ocireg/registry"
)

const (
	errorCodes = "Error Codes"
	warnings   = "Warnings"

	maxWarnings = 4096 // bytes in all Warning fields of a response
)

var (
	errorCodeForm = regexp.MustCompile(`^[A-Z_]+$`)

	// specCodes are the error codes in versions 1.0 and 1.1 of the spec and in
	// its main branch.
	specCodes = []string{
		"BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
		"MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED",
		"DENIED", "UNSUPPORTED", "TOOMANYREQUESTS",
	}

	// warningForm matches a Warning field with the warn-code 299, the warn-agent
	// -, a quoted text and no date.
	warningForm = regexp.MustCompile(`^299 - "(?:[^"\\]|\\.)*"$`)
)

// apiRequirements are the requirements that apply to all endpoints.
var apiRequirements = []Requirement{
	{
		Category: "api", Name: "base endpoint is 200", Section: "Determining Support", Level: Must, Since: "1.0",
		Text: "If the response is `200 OK`, then the registry implements this specification.",
		check: func(t *registryTest) {
			t.want(t.get("/v2/"), http.StatusOK)
		},
	},
	{
		Category: "api", Name: "errors in JSON have their format", Section: errorCodes, Level: Must, Since: "1.0",
		Text: "If the response body is in JSON format, it MUST have the following format:",
		check: func(t *registryTest) {
			for _, r := range t.errors() {
				t.last = r
				if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); !strings.HasSuffix(kind, "json") {
					continue
				}
				// The spec wants a string as the message, and any JSON as the
				// detail.
				var body struct {
					Errors []struct {
						Code    string `json:"code"`
						Message string `json:"message"`
					} `json:"errors"`
				}
				if t.decode(r, &body); len(body.Errors) == 0 {
					t.violated("the body has no errors")
				}
				for _, e := range body.Errors {
					if e.Code == "" {
						t.violated("an error in the body has no code")
					}
				}
			}
		},
	},
	{
		Category: "api", Name: "error codes are capitals and underscores", Section: errorCodes, Level: Must, Since: "1.0",
		Text: "The `code` field MUST be a unique identifier, containing only uppercase alphabetic characters and underscores.",
		check: func(t *registryTest) {
			t.wantCodes(errorCodeForm.MatchString)
		},
	},
	{
		Category: "api", Name: "error codes are those of the spec", Section: errorCodes, Level: Must, Since: "1.0",
		Text: "The `code` field MUST be one of the following:",
		check: func(t *registryTest) {
			t.wantCodes(func(code string) bool { return slices.Contains(specCodes, code) })
		},
	},
	{
		Category: "api", Name: "429 has Retry-After", Section: errorCodes, Level: Should, Since: "main",
		Text: "A `429 Too Many Requests` response (RFC 6585 (section 4)) SHOULD include a `Retry-After` header per RFC 9110 (section 10.2.3).",
		check: func(t *registryTest) {
			for _, r := range append(t.errors(), t.get("/v2/")) {
				if t.last = r; r.StatusCode == http.StatusTooManyRequests && r.Header.Get("Retry-After") == "" {
					t.violated("the response has no Retry-After")
				}
			}
		},
	},
	{
		Category: "api", Name: "warnings have their format", Section: warnings, Level: Must, Since: "1.1",
		Text: "If included, `Warning` headers MUST specify a `warn-code` of `299` and a `warn-agent` of `-`, and MUST NOT specify a `warn-date` value.",
		check: func(t *registryTest) {
			for _, r := range t.various() {
				t.last = r
				for _, w := range r.Header.Values("Warning") {
					if !warningForm.MatchString(w) {
						t.violated(`Warning is %q, not of the form 299 - "text"`, w)
					}
				}
			}
		},
	},
	{
		Category: "api", Name: "warnings are at most 4096 bytes", Section: warnings, Level: Must, Since: "1.1",
		Text: "A registry MUST NOT send more than 4096 bytes of warning data from all headers combined.",
		check: func(t *registryTest) {
			for _, r := range t.various() {
				t.last = r
				if n := len(strings.Join(r.Header.Values("Warning"), "")); n > maxWarnings {
					t.violated("the warnings have %d bytes", n)
				}
			}
		},
	},
	{
		Category: "api", Name: "namespace is confirmed by OCI-Namespace", Section: "Registry Proxying", Level: Should, Since: "main", with: features{registry.Namespace},
		Text: "A registry that uses the `ns` query parameter to scope the request SHOULD return the `ns` query parameter value in the `OCI-Namespace` header.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.pushImage(repo, t.image(), "v1")
			for _, url := range []string{manifestURL(repo, "v1"), blobURL(repo, i.Layers[0].Digest), tagsURL(repo)} {
				r := t.get(param(url, "ns", "registry.example.org:5000"), "Accept", i.MediaType)
				t.want(r, http.StatusOK)
				t.wantHeader(r, "OCI-Namespace", "registry.example.org:5000")
			}
		},
	},
}

// errors returns several error responses of the registry.
func (t *registryTest) errors() []*response {
	t.Helper()
	repo, absent := t.repo(), t.repo()
	t.pushTagged(repo, "v1")
	location := t.start(repo)
	all := []*response{
		t.get(manifestURL(repo, "v2")),
		t.get(manifestURL(repo, t.absentDigest())),
		t.get(manifestURL(absent, "v1")),
		t.get(manifestURL(repo, "sha256:0123")),
		t.get(blobURL(repo, t.absentDigest())),
		t.get(blobURL(repo, "sha256:0123")),
		t.get(tagsURL(absent)),
		t.get(param(tagsURL(repo), "n", "x")),
		t.post(uploadsURL(repo + "A")),
		t.end(location, t.absentDigest(), t.bytes(10)),
		t.put(manifestURL(repo, "v3"), []byte("{"), "Content-Type", t.image().MediaType),
		t.patch(tagsURL(repo), nil),
	}
	return slices.DeleteFunc(all, func(r *response) bool { return !refused(r) })
}

// various returns error responses and successful responses of several endpoints.
func (t *registryTest) various() []*response {
	t.Helper()
	repo := t.repo()
	i := t.pushImage(repo, t.image(), "v1")
	return append(t.errors(),
		t.get("/v2/"), t.get(manifestURL(repo, "v1"), "Accept", i.MediaType), t.head(manifestURL(repo, "v1"), "Accept", i.MediaType),
		t.get(blobURL(repo, i.Layers[0].Digest)), t.get(tagsURL(repo)), t.post(uploadsURL(repo)),
	)
}

// wantCodes reports a violation unless valid returns true for the code of each
// error in several error responses. Bodies that are not JSON have no codes.
func (t *registryTest) wantCodes(valid func(code string) bool) {
	t.Helper()
	for _, r := range t.errors() {
		t.last = r
		codes, err := codesIn(r)
		for _, c := range codes {
			if err == nil && !valid(c) {
				t.violated("the code is %q", c)
			}
		}
	}
}

// codesIn returns the error codes in the body of a response.
func codesIn(r *response) (codes []string, err error) {
	var body struct {
		Errors []struct {
			Code string `json:"code"`
		} `json:"errors"`
	}
	err = json.Unmarshal(r.body, &body)
	for _, e := range body.Errors {
		codes = append(codes, e.Code)
	}
	return codes, err
}
