package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ocireg/registry/internal/field"
)

const (
	exchangeTimeout = time.Minute
	maxExcerpt      = 600 // bytes of a response body in a failure message
)

// A registryTest is the check of one requirement against one registry. Its
// methods report a violation if the registry does not respond as they expect.
type registryTest struct {
	TB
	requirement Requirement
	target      Target
	client      *http.Client
	base        *url.URL
	list        *largeList

	// id is different for each check. The names of its repositories contain id and
	// the counter repos, so they are unique.
	id    string
	repos int

	// preparing is the name of the step that is running before the check itself,
	// or "".
	preparing string
	last      *response
}

// violated fails the test. The message quotes the requirement, and shows the
// last request and response.
func (t *registryTest) violated(format string, args ...any) {
	t.Helper()
	r := t.requirement
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", r.Section, r.Name)
	fmt.Fprintf(&b, "  %s: %q\n", r.Level, r.Text)
	fmt.Fprintf(&b, "  %s\n", r.URL())
	if t.preparing != "" {
		fmt.Fprintf(&b, "  this could not be checked: %s failed\n", t.preparing)
	}
	if t.last != nil {
		b.WriteString(t.last.String())
	}
	fmt.Fprintf(&b, format, args...)
	if len(r.with) > 0 {
		fmt.Fprintf(&b, "\n(a registry may lack %s: see Target.Without)", r.with)
	}
	t.Fatalf("%s", b.String())
}

// prepare runs a step that the check needs but does not test. If the step fails,
// the message says that the requirement could not be checked.
func (t *registryTest) prepare(step string, do func()) {
	t.Helper()
	before := t.preparing
	t.preparing = step
	do()
	t.preparing = before
}

// A call describes a request to send.
type call struct {
	method string
	url    string   // a path below the base URL of the registry, or a URL
	header []string // pairs of a name and a value
	body   []byte

	// announce makes the client wait for 100 Continue before it sends the body,
	// unless the target has its own client.
	announce bool
}

// A response is a request and the response to it.
type response struct {
	request        *http.Request
	*http.Response // nil if the request failed
	body           []byte
}

// do sends a request and returns the response with its whole body.
func (t *registryTest) do(c call) *response {
	t.Helper()
	target, err := t.base.Parse(c.url)
	if err != nil {
		t.violated("%q is not a URL: %v", c.url, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), exchangeTimeout)
	defer cancel()
	var body io.Reader
	if len(c.body) > 0 {
		body = bytes.NewReader(c.body)
	} else if c.method != "GET" && c.method != "HEAD" {
		body = http.NoBody
	}
	hr, err := http.NewRequestWithContext(ctx, c.method, target.String(), body)
	if err != nil {
		t.violated("building the request %s %s: %v", c.method, target, err)
	}
	for i := 0; i+1 < len(c.header); i += 2 {
		hr.Header.Add(c.header[i], c.header[i+1])
	}
	if c.announce && t.target.Client == nil {
		hr.Header.Set("Expect", "100-continue")
	}
	t.last = &response{request: hr}
	received, err := t.client.Do(hr)
	if err != nil {
		t.violated("the registry did not respond: %v", err)
	}
	defer received.Body.Close()
	t.last.Response = received
	var read bytes.Buffer
	if n := received.ContentLength; 0 < n && n < 16<<20 {
		read.Grow(int(n) + bytes.MinRead) // A buffer of the right size need not be copied while it grows.
	}
	_, err = read.ReadFrom(received.Body)
	t.last.body = read.Bytes()
	if err != nil {
		t.violated("reading the response body: %v", err)
	}
	return t.last
}

func (t *registryTest) get(url string, header ...string) *response {
	t.Helper()
	return t.do(call{method: "GET", url: url, header: header})
}

func (t *registryTest) head(url string, header ...string) *response {
	t.Helper()
	return t.do(call{method: "HEAD", url: url, header: header})
}

func (t *registryTest) post(url string, header ...string) *response {
	t.Helper()
	return t.do(call{method: "POST", url: url, header: header})
}

func (t *registryTest) put(url string, body []byte, header ...string) *response {
	t.Helper()
	return t.do(call{method: "PUT", url: url, header: header, body: body})
}

func (t *registryTest) patch(url string, body []byte, header ...string) *response {
	t.Helper()
	return t.do(call{method: "PATCH", url: url, header: header, body: body})
}

func (t *registryTest) delete(url string, header ...string) *response {
	t.Helper()
	return t.do(call{method: "DELETE", url: url, header: header})
}

// String returns the request and the response for a failure message.
func (r *response) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  > %s %s\n", r.request.Method, r.request.URL)
	writeHeaders(&b, r.request.Header)
	if r.request.ContentLength > 0 {
		fmt.Fprintf(&b, "    (%d bytes)\n", r.request.ContentLength)
	}
	if r.Response == nil {
		return b.String()
	}
	fmt.Fprintf(&b, "  < %s\n", r.Status)
	writeHeaders(&b, r.Header)
	kind := r.Header.Get("Content-Type")
	switch text := string(r.body); {
	case text == "":
	case !strings.Contains(kind, "json") && !strings.HasPrefix(kind, "text/"):
		fmt.Fprintf(&b, "    (%d bytes)\n", len(text))
	case len(text) > maxExcerpt:
		fmt.Fprintf(&b, "    %s… (%d bytes)\n", text[:maxExcerpt], len(text))
	default:
		fmt.Fprintf(&b, "    %s\n", strings.TrimSpace(text))
	}
	return b.String()
}

func writeHeaders(b *strings.Builder, h http.Header) {
	names := make([]string, 0, len(h))
	for name := range h {
		if name != "Authorization" && name != "Date" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range h[name] {
			fmt.Fprintf(b, "    %s: %s\n", name, v)
		}
	}
}

// want reports a violation unless the response has one of the statuses.
func (t *registryTest) want(r *response, statuses ...int) {
	t.Helper()
	if slices.Contains(statuses, r.StatusCode) {
		return
	}
	names := make([]string, len(statuses))
	for i, s := range statuses {
		names[i] = fmt.Sprintf("%d %s", s, http.StatusText(s))
	}
	t.violated("the status is %s, not %s", r.Status, strings.Join(names, " or "))
}

// wantRefused reports a violation unless the response has a 4xx status. The
// subject describes the refused request in the message.
func (t *registryTest) wantRefused(r *response, subject string) {
	t.Helper()
	if !refused(r) {
		t.violated("the status is %s, but the registry must refuse %s", r.Status, subject)
	}
}

func refused(r *response) bool { return r.StatusCode >= 400 && r.StatusCode <= 499 }

// wantHeader reports a violation unless the header field of the response has the
// value.
func (t *registryTest) wantHeader(r *response, name, value string) {
	t.Helper()
	if got := r.Header.Get(name); got != value {
		t.violated("%s is %q, not %q", name, got, value)
	}
}

// wantBody reports a violation unless the body of the response is the content.
func (t *registryTest) wantBody(r *response, content []byte) {
	t.Helper()
	if !bytes.Equal(r.body, content) {
		t.violated("the body of %d bytes differs from the content of %d bytes that was pushed", len(r.body), len(content))
	}
}

// decode decodes the JSON body of a response into v, or reports a violation.
func (t *registryTest) decode(r *response, v any) {
	t.Helper()
	if err := json.Unmarshal(r.body, v); err != nil {
		t.violated("decoding the JSON of the body: %v", err)
	}
}

// location returns the URL in the header field Location of a response, or
// reports a violation.
func (t *registryTest) location(r *response) string {
	t.Helper()
	text := r.Header.Get("Location")
	if text == "" {
		t.violated("the response has no Location")
	}
	u, err := r.Response.Request.URL.Parse(text)
	if err != nil {
		t.violated("Location %q is not a URL: %v", text, err)
	}
	return u.String()
}

// next returns the URL of the next page in the header field Link of a response,
// or "" if the response has no such field. It reports a violation if the field
// is malformed.
func (t *registryTest) next(r *response) string {
	t.Helper()
	if len(r.Header.Values("Link")) == 0 {
		return ""
	}
	target, err := field.NextLink(r.Header)
	if err != nil {
		t.violated("%v", err)
	}
	if target == "" {
		t.violated(`Link is %q, without rel="next"`, r.Header.Values("Link"))
	}
	u, err := r.Response.Request.URL.Parse(target)
	if err != nil {
		t.violated("Link leads to %q, which is not a URL: %v", target, err)
	}
	return u.String()
}

// maxPages limits the number of pages of a list. A list with more pages is a
// violation.
const maxPages = 10_000

// pages calls read for each page of a list, starting with the page at the URL.
func (t *registryTest) pages(url string, read func(page *response)) {
	t.Helper()
	for range maxPages {
		page := t.get(url)
		t.want(page, http.StatusOK)
		read(page)
		if url = t.next(page); url == "" {
			return
		}
	}
	t.violated("the list has more than %d pages", maxPages)
}
