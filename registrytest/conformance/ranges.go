package conformance

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"regexp"
	"strconv"

	"github.com/ocireg/registry"
)

// rangeRequirements are the requirements of reads of parts of a blob.
var rangeRequirements = []Requirement{
	{
		Category: "pull", Name: "one range of a blob is 206", Section: pullingBlobs, Level: Should, Since: "1.1", with: features{registry.Ranges},
		Text: "A registry SHOULD support the `Range` request header in accordance with RFC 9110 (section 14).",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			d := t.pushBlob(repo, content)
			for _, part := range []struct {
				header      string
				first, last int
			}{{"bytes=0-", 0, 999}, {"bytes=10-", 10, 999}, {"bytes=0-0", 0, 0}, {"bytes=5-9", 5, 9}, {"bytes=990-5000", 990, 999}, {"bytes=-10", 990, 999}, {"bytes=-5000", 0, 999}} {
				r := t.get(blobURL(repo, d), "Range", part.header)
				t.want(r, http.StatusPartialContent)
				t.wantHeader(r, "Content-Range", fmt.Sprintf("bytes %d-%d/1000", part.first, part.last))
				t.wantBody(r, content[part.first:part.last+1])
			}
		},
	},
	{
		Category: "pull", Name: "two ranges of a blob are 206 or 200", Section: pullingBlobs, Level: Should, Since: "1.1", with: features{registry.Ranges},
		Text: "A registry SHOULD support the `Range` request header in accordance with RFC 9110 (section 14).",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			r := t.get(blobURL(repo, t.pushBlob(repo, content)), "Range", "bytes=0-9,100-109")
			if r.StatusCode == http.StatusOK {
				// A server may ignore the field Range (RFC 9110, section 14.2).
				t.wantBody(r, content)
				return
			}
			t.want(r, http.StatusPartialContent)
			kind, parameters, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
			if kind != "multipart/byteranges" {
				t.violated("Content-Type is %q, not multipart/byteranges", kind)
			}
			parts := multipart.NewReader(bytes.NewReader(r.body), parameters["boundary"])
			for _, first := range []int{0, 100} {
				part, err := parts.NextPart()
				if err != nil {
					t.violated("reading the part from byte %d on: %v", first, err)
				}
				got, _ := io.ReadAll(part)
				if !bytes.Equal(got, content[first:first+10]) {
					t.violated("the part from byte %d on differs from the blob", first)
				}
				if want := fmt.Sprintf("bytes %d-%d/1000", first, first+9); part.Header.Get("Content-Range") != want {
					t.violated("Content-Range of the part is %q, not %q", part.Header.Get("Content-Range"), want)
				}
			}
		},
	},
	{
		Category: "pull", Name: "range beyond the end of a blob is 416", Section: pullingBlobs, Level: Should, Since: "1.1", with: features{registry.Ranges},
		Text: "A registry SHOULD support the `Range` request header in accordance with RFC 9110 (section 14).",
		check: func(t *registryTest) {
			repo := t.repo()
			r := t.get(blobURL(repo, t.pushBlob(repo, t.bytes(1000))), "Range", "bytes=1000-")
			t.want(r, http.StatusRequestedRangeNotSatisfiable)
			t.wantHeader(r, "Content-Range", "bytes */1000")
		},
	},
	{
		Category: "pull", Name: "unknown range unit is ignored", Section: pullingBlobs, Level: Should, Since: "1.1", with: features{registry.Ranges},
		Text: "A registry SHOULD support the `Range` request header in accordance with RFC 9110 (section 14).",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			r := t.get(blobURL(repo, t.pushBlob(repo, content)), "Range", "lines=1-2")
			t.want(r, http.StatusOK)
			t.wantBody(r, content)
		},
	},
	{
		Category: "pull", Name: "range of zero bytes is 416", Section: rfc9110 + "14.2", Level: Should, Since: "main", with: features{registry.Ranges},
		Text: "If all of the preconditions are true, the server supports the Range header field for the target resource, the received Range field-value contains a valid ranges-specifier, and either the range-unit is not supported for that target resource or the ranges-specifier is unsatisfiable with respect to the selected representation, the server SHOULD send a 416 (Range Not Satisfiable) response.",
		check: func(t *registryTest) {
			repo := t.repo()
			d := t.pushBlob(repo, t.bytes(1000))
			for _, header := range []string{"bytes=-0", "bytes=-00", "bytes=1000-,-0"} {
				t.want(t.get(blobURL(repo, d), "Range", header), http.StatusRequestedRangeNotSatisfiable)
			}
		},
	},
	{
		Category: "pull", Name: "Content-Range of a 206 is true", Section: rfc9110 + "15.3.7.1", Level: Must, Since: "main", with: features{registry.Ranges},
		Text: "If a single part is being transferred, the server generating the 206 response MUST generate a Content-Range header field, describing what range of the selected representation is enclosed, and a content consisting of the range.",
		check: func(t *registryTest) {
			repo := t.repo()
			for _, content := range [][]byte{t.bytes(1000), nil} {
				d := t.pushBlob(repo, content)
				for _, header := range []string{"bytes=-1", "bytes=-0", "bytes=-00", "bytes=- 0", "bytes=,-0", "bytes=-+0", "bytes=0-1,-0", "bytes=0-1,-00", "bytes= 0-1", "bytes=1-0", "bytes=0-18446744073709551615"} {
					t.wantPart(t.get(blobURL(repo, d), "Range", header), content)
				}
			}
		},
	},
}

// contentRange matches the field Content-Range of a 206 response.
var contentRange = regexp.MustCompile(`^bytes (\d+)-(\d+)/(\d+)$`)

// wantPart reports a violation if the response is a 206 with a single part, and
// its Content-Range does not match the body.
func (t *registryTest) wantPart(r *response, content []byte) {
	t.Helper()
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); r.StatusCode != http.StatusPartialContent || kind == "multipart/byteranges" {
		return
	}
	m := contentRange.FindStringSubmatch(r.Header.Get("Content-Range"))
	if m == nil {
		t.violated("Content-Range is %q, not of the form bytes first-last/size", r.Header.Get("Content-Range"))
	}
	first, _ := strconv.Atoi(m[1])
	last, _ := strconv.Atoi(m[2])
	size, _ := strconv.Atoi(m[3])
	if size != len(content) || last < first || last >= size {
		t.violated("Content-Range is %q; want first <= last < %d, and the size %[2]d", r.Header.Get("Content-Range"), len(content))
	}
	t.wantBody(r, content[first:last+1])
}
