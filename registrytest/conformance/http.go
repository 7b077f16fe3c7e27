package conformance

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/ocireg/registry"
)

const api = "API"

// httpRequirements are the requirements of HTTP that apply to all endpoints.
var httpRequirements = []Requirement{
	{
		Category: "api", Name: "405 has Allow", Section: api, Level: Should, Since: "main",
		Text: "Where this specification does not define specific behavior, implementations SHOULD follow the HTTP semantics defined in RFC 9110.",
		check: func(t *registryTest) {
			repo := t.repo()
			t.pushTagged(repo, "v1")
			for _, url := range []string{tagsURL(repo), manifestURL(repo, "v1"), uploadsURL(repo)} {
				r := t.patch(url, nil)
				t.wantRefused(r, "a method that the endpoint does not have")
				if r.StatusCode == http.StatusMethodNotAllowed && len(r.Header.Values("Allow")) == 0 {
					t.violated("the response has no Allow (RFC 9110, section 15.5.6)")
				}
			}
		},
	},
	{
		Category: "api", Name: "conditional GET of current content is 304", Section: api, Level: Should, Since: "main", with: features{registry.ConditionalReads},
		Text: "Where this specification does not define specific behavior, implementations SHOULD follow the HTTP semantics defined in RFC 9110.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.pushImage(repo, t.image(), "v1")
			for _, url := range []string{manifestURL(repo, "v1"), manifestURL(repo, i.digest), blobURL(repo, i.Layers[0].Digest)} {
				etag := t.get(url, "Accept", i.MediaType).Header.Get("ETag")
				if etag == "" {
					t.violated("the response has no ETag")
				}
				for _, header := range []string{etag, `"other", ` + etag, "W/" + strings.TrimPrefix(etag, "W/"), "*"} {
					t.want(t.get(url, "Accept", i.MediaType, "If-None-Match", header), http.StatusNotModified)
					t.want(t.head(url, "Accept", i.MediaType, "If-None-Match", header), http.StatusNotModified)
				}
				t.want(t.get(url, "Accept", i.MediaType, "If-None-Match", `"other"`), http.StatusOK)
			}
		},
	},
	{
		Category: "api", Name: "repeated If-None-Match is one list", Section: rfc9110 + "5.2", Level: Should, Since: "main", with: features{registry.ConditionalReads},
		Text: "When a field name is repeated within a section, its combined field value consists of the list of corresponding field line values within that section, concatenated in order, with each field line value separated by a comma.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.pushImage(repo, t.image(), "v1")
			for _, url := range []string{manifestURL(repo, "v1"), blobURL(repo, i.Layers[0].Digest)} {
				etag := t.get(url, "Accept", i.MediaType).Header.Get("ETag")
				t.want(t.get(url, "Accept", i.MediaType, "If-None-Match", `"other"`, "If-None-Match", etag), http.StatusNotModified)
			}
		},
	},
	{
		Category: "api", Name: "query never makes a header malformed", Section: rfc9110 + "2.2", Level: Must, Since: "1.0",
		Text: "A sender MUST NOT generate protocol elements that do not match the grammar defined by the corresponding ABNF rules.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.pushImage(repo, t.image(), "v1")
			for _, url := range []string{manifestURL(repo, "v1"), blobURL(repo, i.Layers[0].Digest), tagsURL(repo)} {
				for _, value := range []string{"\x00", "\x01", "a\r\nb: c", "\x7f"} {
					for _, name := range []string{"ns", "n", "last", "artifactType"} {
						t.wantFields(t.get(param(url, name, value), "Accept", i.MediaType))
					}
				}
			}
		},
	},
	{
		Category: "pull", Name: "HEAD has the Content-Length of GET", Section: rfc9110 + "8.6", Level: Must, Since: "1.0",
		Text: "A server MAY send a Content-Length header field in a response to a HEAD request (Section 9.3.2); a server MUST NOT send Content-Length in such a response unless its field value equals the decimal number of octets that would have been sent in the content of a response if the same request had used the GET method.",
		check: func(t *registryTest) {
			for _, pair := range t.headAndGet() {
				t.last = pair.head
				if length := pair.head.Header.Get("Content-Length"); length != "" && length != strconv.Itoa(len(pair.get.body)) {
					t.violated("Content-Length is %s, but the body of a GET has %d bytes", length, len(pair.get.body))
				}
			}
		},
	},
	{
		Category: "pull", Name: "HEAD has the header fields of GET", Section: rfc9110 + "9.3.2", Level: Should, Since: "main",
		Text: "The server SHOULD send the same header fields in response to a HEAD request as it would have sent if the request method had been GET.",
		check: func(t *registryTest) {
			for _, pair := range t.headAndGet() {
				t.last = pair.head
				if pair.get.Request.URL.String() != pair.head.Request.URL.String() {
					continue // After redirects, different servers may have responded.
				}
				if pair.head.StatusCode != pair.get.StatusCode {
					t.violated("the status is %s, and that of a GET is %s", pair.head.Status, pair.get.Status)
				}
				for _, name := range []string{"Content-Type", "Docker-Content-Digest", "ETag", "Accept-Ranges"} {
					if head, get := pair.head.Header.Get(name), pair.get.Header.Get(name); head != get {
						t.violated("%s is %q, and that of a GET is %q", name, head, get)
					}
				}
			}
		},
	},
}

// wantFields reports a violation if a header field of the response contains a
// control character.
func (t *registryTest) wantFields(r *response) {
	t.Helper()
	for name, values := range r.Header {
		for _, value := range values {
			if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
				t.violated("%s is %q, with a control character", name, value)
			}
		}
	}
}

// headAndGet sends HEAD and GET requests for the same URLs, and returns the
// responses in pairs.
func (t *registryTest) headAndGet() (pairs []struct{ head, get *response }) {
	t.Helper()
	repo := t.repo()
	i := t.pushImage(repo, t.image(), "v1")
	for _, url := range []string{
		manifestURL(repo, "v1"), manifestURL(repo, i.digest), blobURL(repo, i.Layers[0].Digest),
		manifestURL(repo, "v2"), manifestURL(repo, t.absentDigest()), blobURL(repo, t.absentDigest()),
		manifestURL(repo, "sha256:0123"), blobURL(repo, "sha256:0123"), manifestURL(t.repo(), "v1"),
	} {
		pairs = append(pairs, struct{ head, get *response }{t.head(url, "Accept", i.MediaType), t.get(url, "Accept", i.MediaType)})
	}
	return pairs
}
