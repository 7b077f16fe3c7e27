package conformance

import (
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

const (
	warnings = "Warnings"

	// maxWarnings is the number of bytes that all warnings of an answer may
	// have.
	maxWarnings = 4096
)

// errorCodeForm is the form of an error code, and specCodes are those of the
// spec: of its versions 1.0 and 1.1 and of its main branch.
var (
	errorCodeForm = regexp.MustCompile(`^[A-Z_]+$`)
	specCodes     = []string{
		"BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
		"MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED",
		"DENIED", "UNSUPPORTED", "TOOMANYREQUESTS",
	}

	// warningForm is the form of a Warning: code 299, agent -, a quoted text
	// and no date.
	warningForm = regexp.MustCompile(`^299 - "(?:[^"\\]|\\.)*"$`)
)

// apiRequirements are those of all endpoints.
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
			for _, a := range t.errors() {
				t.last = a
				if kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type")); !strings.HasSuffix(kind, "json") {
					continue
				}
				// The message is text, and the detail may be anything.
				var body struct {
					Errors []struct {
						Code    string `json:"code"`
						Message string `json:"message"`
					} `json:"errors"`
				}
				if t.decode(a, &body); len(body.Errors) == 0 {
					t.violated("there are no errors in the body")
				}
				for _, e := range body.Errors {
					if e.Code == "" {
						t.violated("there is an error without a code")
					}
				}
			}
		},
	},
	{
		Category: "api", Name: "error codes are of capitals and underscores", Section: errorCodes, Level: Must, Since: "1.0",
		Text: "The `code` field MUST be a unique identifier, containing only uppercase alphabetic characters and underscores.",
		check: func(t *registryTest) {
			for _, a := range t.errors() {
				t.last = a
				codes, err := codesIn(a)
				for _, c := range codes {
					if err == nil && !errorCodeForm.MatchString(c) {
						t.violated("the code is %q", c)
					}
				}
			}
		},
	},
	{
		Category: "api", Name: "error codes are those of the spec", Section: errorCodes, Level: Must, Since: "1.0",
		Text: "The `code` field MUST be one of the following:",
		check: func(t *registryTest) {
			for _, a := range t.errors() {
				t.last = a
				codes, err := codesIn(a)
				for _, c := range codes {
					if err == nil && !slices.Contains(specCodes, c) {
						t.violated("the code is %q", c)
					}
				}
			}
		},
	},
	{
		Category: "api", Name: "429 has Retry-After", Section: errorCodes, Level: Should, Since: "main",
		Text: "A `429 Too Many Requests` response (RFC 6585 (section 4)) SHOULD include a `Retry-After` header per RFC 9110 (section 10.2.3).",
		check: func(t *registryTest) {
			for _, a := range append(t.errors(), t.get("/v2/")) {
				if t.last = a; a.StatusCode == http.StatusTooManyRequests && a.Header.Get("Retry-After") == "" {
					t.violated("there is no Retry-After")
				}
			}
		},
	},
	{
		Category: "api", Name: "warnings have their format", Section: warnings, Level: Must, Since: "1.1",
		Text: "If included, `Warning` headers MUST specify a `warn-code` of `299` and a `warn-agent` of `-`, and MUST NOT specify a `warn-date` value.",
		check: func(t *registryTest) {
			for _, a := range t.various() {
				t.last = a
				for _, w := range a.Header.Values("Warning") {
					if !warningForm.MatchString(w) {
						t.violated("a Warning is %s", w)
					}
				}
			}
		},
	},
	{
		Category: "api", Name: "warnings have 4096 bytes at the most", Section: warnings, Level: Must, Since: "1.1",
		Text: "A registry MUST NOT send more than 4096 bytes of warning data from all headers combined.",
		check: func(t *registryTest) {
			for _, a := range t.various() {
				t.last = a
				if n := len(strings.Join(a.Header.Values("Warning"), "")); n > maxWarnings {
					t.violated("the warnings have %d bytes", n)
				}
			}
		},
	},
	{
		Category: "api", Name: "namespace is confirmed by OCI-Namespace", Section: "Registry Proxying", Level: Should, Since: "main", with: []Feature{FeatureNamespace},
		Text: "A registry that uses the `ns` query parameter to scope the request SHOULD return the `ns` query parameter value in the `OCI-Namespace` header.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.pushImage(repo, t.image(), "v1")
			for _, url := range []string{manifestURL(repo, "v1"), blobURL(repo, i.Layers[0].Digest), tagsURL(repo)} {
				a := t.get(param(url, "ns", "registry.example.org:5000"), "Accept", i.MediaType)
				t.want(a, http.StatusOK)
				t.wantHeader(a, "OCI-Namespace", "registry.example.org:5000")
			}
		},
	},
	{
		Category: "api", Name: "405 says what is allowed", Section: "API", Level: Should, Since: "main",
		Text: "Where this specification does not define specific behavior, implementations SHOULD follow the HTTP semantics defined in RFC 9110.",
		check: func(t *registryTest) {
			repo := t.repo()
			t.pushTagged(repo, "v1")
			for _, url := range []string{tagsURL(repo), manifestURL(repo, "v1"), uploadsURL(repo)} {
				a := t.do(call{method: "PATCH", url: url})
				t.wantRefused(a, "a method that the endpoint does not have")
				if a.StatusCode == http.StatusMethodNotAllowed && len(a.Header.Values("Allow")) == 0 {
					t.violated("there is no Allow (RFC 9110, section 15.5.6)")
				}
			}
		},
	},
	{
		Category: "api", Name: "what the client has is 304", Section: "API", Level: Should, Since: "main", with: []Feature{FeatureConditionalReads},
		Text: "Where this specification does not define specific behavior, implementations SHOULD follow the HTTP semantics defined in RFC 9110.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.pushImage(repo, t.image(), "v1")
			for _, url := range []string{manifestURL(repo, "v1"), manifestURL(repo, i.digest), blobURL(repo, i.Layers[0].Digest)} {
				etag := t.get(url, "Accept", i.MediaType).Header.Get("ETag")
				if etag == "" {
					t.violated("there is no ETag")
				}
				for _, header := range []string{etag, `"other", ` + etag, "W/" + strings.TrimPrefix(etag, "W/"), "*"} {
					t.want(t.get(url, "Accept", i.MediaType, "If-None-Match", header), http.StatusNotModified)
					t.want(t.head(url, "Accept", i.MediaType, "If-None-Match", header), http.StatusNotModified)
				}
				t.want(t.get(url, "Accept", i.MediaType, "If-None-Match", `"other"`), http.StatusOK)
			}
		},
	},
}

// errors returns answers to requests that fail in various ways.
func (t *registryTest) errors() []*answer {
	t.Helper()
	repo, absent := t.repo(), t.repo()
	t.pushTagged(repo, "v1")
	mismatch := param(t.start(repo), "digest", string(t.absentDigest()))
	all := []*answer{
		t.get(manifestURL(repo, "v2")),
		t.get(manifestURL(repo, t.absentDigest())),
		t.get(manifestURL(absent, "v1")),
		t.get(manifestURL(repo, "sha256:0123")),
		t.get(blobURL(repo, t.absentDigest())),
		t.get(blobURL(repo, "sha256:0123")),
		t.get(tagsURL(absent)),
		t.get(param(tagsURL(repo), "n", "x")),
		t.post(uploadsURL(repo + "A")),
		t.put(mismatch, t.bytes(10), "Content-Type", octetStream),
		t.put(manifestURL(repo, "v3"), []byte("{"), "Content-Type", t.image().MediaType),
		t.do(call{method: "PATCH", url: tagsURL(repo)}),
	}
	return slices.DeleteFunc(all, func(a *answer) bool { return a.StatusCode < 400 || a.StatusCode > 499 })
}

// various returns answers of all kinds.
func (t *registryTest) various() []*answer {
	t.Helper()
	repo := t.repo()
	i := t.pushImage(repo, t.image(), "v1")
	return append(t.errors(),
		t.get("/v2/"), t.get(manifestURL(repo, "v1"), "Accept", i.MediaType), t.head(manifestURL(repo, "v1"), "Accept", i.MediaType),
		t.get(blobURL(repo, i.Layers[0].Digest)), t.get(tagsURL(repo)), t.post(uploadsURL(repo)),
	)
}
