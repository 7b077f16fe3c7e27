package conformance

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// A Target is a registry that [Registry] tests. Either Handler or URL is
// set; all else may be left out.
type Target struct {
	// Handler is the registry. Each requirement is checked through a server of
	// its own, on a loopback address.
	Handler http.Handler

	// URL is the root of a registry that is served already, such as
	// "https://registry.example.org".
	URL string

	// Client sends the requests. It adds the credentials that the registry
	// asks for, if it does. If it is nil, a plain one is used.
	Client *http.Client

	// Repo is what the names of all repositories begin with that are written
	// to, as in "team/scratch"; "registrytest" if it is empty. What follows is
	// new in each run: the test does not touch what the registry has already,
	// and leaves behind what it has pushed.
	Repo string

	// Spec is the version of the distribution spec that the registry claims
	// to implement, "1.0" or "1.1"; requirements that came later are skipped.
	// If it is empty, the registry is held to the newest text, which is that
	// of the spec's main branch.
	Spec string

	// Without lists what the registry does not have of that which the spec
	// leaves it free to have. Where the spec says how such a registry answers,
	// that is checked.
	Without []Feature

	// ManifestLimit is the size in bytes of the largest manifest that the
	// registry accepts. If it is 0, the registry is expected to refuse one of
	// 64 MiB.
	ManifestLimit int64

	// SkipShould leaves out the requirements of the level [Should].
	SkipShould bool
}

// A Feature is something that a registry may have or not, see
// [Target.Without].
type Feature string

// The features.
const (
	FeatureAnonymousMount    Feature = "anonymous mount"    // mounts a blob without being told from where
	FeatureCancelUpload      Feature = "cancel upload"      // DELETE of an upload session
	FeatureCatalog           Feature = "catalog"            // GET /v2/_catalog, of the Docker Registry HTTP API V2
	FeatureConditionalReads  Feature = "conditional reads"  // ETag, and If-None-Match on GET
	FeatureConditionalWrites Feature = "conditional writes" // If-Match and If-None-Match on PUT of a manifest
	FeatureDeleteBlob        Feature = "delete blob"        // DELETE of a blob
	FeatureDeleteManifest    Feature = "delete manifest"    // DELETE of a manifest by its digest
	FeatureDeleteTag         Feature = "delete tag"         // DELETE of a tag
	FeatureManifestLimit     Feature = "manifest limit"     // refuses manifests that are too large
	FeatureMount             Feature = "mount"              // mounts a blob from another repository
	FeatureNamespace         Feature = "namespace"          // scopes requests by the parameter ns
	FeatureRange             Feature = "range"              // serves parts of blobs
	FeatureReferrers         Feature = "referrers"          // the referrers API
	FeatureReferrersFilter   Feature = "referrers filter"   // filters referrers by artifactType
	FeatureSHA512            Feature = "sha512"             // digests of the algorithm sha512
	FeatureSinglePost        Feature = "single post"        // takes a blob in one POST
	FeatureStreamUpload      Feature = "stream upload"      // PATCH without Content-Range, of the Docker Registry HTTP API V2
	FeatureTagParameters     Feature = "tag parameters"     // ?tag= when a manifest is pushed by its digest
)

const (
	defaultTargetRepo = "registrytest"
	excessiveManifest = 64 << 20
	exchangePatience  = time.Minute
	excerptLimit      = 600
)

// Registry tests that a registry does what the OCI Distribution
// Specification demands, one subtest for each [Requirement]. A failure names
// the section of the spec, quotes the requirement, and shows the request and
// the answer that is against it.
//
//	func TestConformance(t *testing.T) {
//		conformance.Registry(t, conformance.Target{
//			Handler: myregistry.New(),
//			Without: []conformance.Feature{conformance.FeatureDeleteBlob},
//		})
//	}
func Registry(t *testing.T, target Target) {
	for _, r := range requirements {
		t.Run(r.Category+"/"+r.Name, func(t *testing.T) {
			if why := r.inapplicable(target); why != "" {
				t.Skip(why)
			}
			r.Check(t, target)
		})
	}
}

// A Level is how much a requirement of the spec demands (RFC 2119).
type Level string

// The levels.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
)

// A Requirement is something that the spec demands of a registry, and the
// check of it.
type Requirement struct {
	// Category is the part of the spec that a registry implements as a whole:
	// "pull", "push", "discovery" or "management"; or "api" for what concerns
	// all of them.
	Category string

	// Name says in a few words what is required. It is unique.
	Name string

	// Section is the heading in the spec, and Text is quoted from below it.
	Section, Text string

	// Level is how much is demanded.
	Level Level

	// Since is the version of the spec that the requirement came with: "1.0",
	// "1.1", or "main" if no version has it yet.
	Since string

	// with and without are the features that a registry has or has not, if the
	// requirement is one of it.
	with, without []Feature

	check func(t *registryTest)
}

// URL returns where the requirement can be read.
func (r Requirement) URL() string {
	if title, ok := strings.CutPrefix(r.Section, dockerAPI); ok {
		return "https://distribution.github.io/distribution/spec/api/#" + anchor(title)
	}
	return "https://github.com/opencontainers/distribution-spec/blob/" + specCommit + "/spec.md#" + anchor(r.Section)
}

// specCommit is the text of the spec that is quoted here.
const specCommit = "967efdc079b91785ad18c77cc4f8991a47feefbf"

// dockerAPI is what the sections begin with that are not of the distribution
// spec but of the document that it came from, which clients still follow.
const dockerAPI = "Docker Registry HTTP API V2, "

func anchor(title string) string { return strings.ReplaceAll(strings.ToLower(title), " ", "-") }

// Requirements returns every requirement that [Registry] checks, for those
// who want to list them or to check some of them.
//
// What the spec demands of clients is not among them. Neither is what cannot
// be seen from outside: that unfinished uploads expire in the end (Cancel a
// blob upload), and that referrers are listed which were pushed before the
// registry had the API (Enabling the Referrers API).
func Requirements() []Requirement {
	return slices.Clone(requirements)
}

var requirements = slices.Concat(apiRequirements, pullRequirements, blobRequirements, uploadRequirements,
	mountRequirements, manifestRequirements, tagRequirements, referrerRequirements, catalogRequirements, deleteRequirements)

// inapplicable returns why the target need not meet the requirement, or "".
func (r Requirement) inapplicable(target Target) string {
	if r.Level == Should && target.SkipShould {
		return "the spec says SHOULD"
	}
	if r.Since > target.Spec && target.Spec != "" {
		return fmt.Sprintf("not in version %s of the spec", target.Spec)
	}
	for _, f := range r.with {
		if slices.Contains(target.Without, f) {
			return "this registry is without " + string(f)
		}
	}
	for _, f := range r.without {
		if !slices.Contains(target.Without, f) {
			return "this registry has " + string(f)
		}
	}
	return ""
}

// Check checks that the target meets the requirement, unless the target need
// not meet it. It reports a failure with tb.Fatalf.
func (r Requirement) Check(tb TB, target Target) {
	tb.Helper()
	if r.inapplicable(target) != "" {
		return
	}
	t := &registryTest{TB: tb, requirement: r, target: target, client: target.Client}
	if t.client == nil {
		t.client = &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ExpectContinueTimeout: exchangePatience}}
	}
	root := target.URL
	if target.Handler != nil {
		root = serveTarget(tb, target.Handler)
	}
	base, err := url.Parse(root)
	if err != nil || base.Host == "" {
		tb.Fatalf("the target has neither a Handler nor a URL of a registry: %q", root)
	}
	t.base = base
	defer t.client.CloseIdleConnections()
	r.check(t)
}

// serveTarget serves the handler on a loopback address until the test ends.
func serveTarget(tb TB, h http.Handler) (root string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("listening for the requests of the test: %v", err)
	}
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(l)
	}()
	tb.Cleanup(func() {
		server.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

// A registryTest is the check of one requirement.
type registryTest struct {
	TB
	requirement Requirement
	target      Target
	client      *http.Client
	base        *url.URL

	// id is new in each check, and repos is how many repositories were named
	// with it.
	id    string
	repos int

	// preparing says what is being done to be able to check the requirement.
	preparing string
	last      *answer
}

// repo returns the name of a repository that there is not yet.
func (t *registryTest) repo() string {
	prefix := t.target.Repo
	if prefix == "" {
		prefix = defaultTargetRepo
	}
	if t.id == "" {
		t.id = hex.EncodeToString(t.bytes(6))
	}
	t.repos++
	return fmt.Sprintf("%s/%s-%d", prefix, t.id, t.repos)
}

// violated reports that the registry does not meet the requirement, with the
// last exchange as the evidence.
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
	for _, f := range r.with {
		fmt.Fprintf(&b, "\n(a registry may be without %q: see Target.Without)", f)
	}
	t.Fatalf("%s", b.String())
}

// prepare does what is not checked but has to be there.
func (t *registryTest) prepare(what string, do func()) {
	t.Helper()
	before := t.preparing
	t.preparing = what
	do()
	t.preparing = before
}

// A call is a request to be sent.
type call struct {
	method string
	url    string // a path below the root of the registry, or a URL
	header []string
	body   []byte

	// announce says not to send the body before the registry wants it, if the
	// client can wait for that.
	announce bool
}

// An answer is what came of a call.
type answer struct {
	request *http.Request
	*http.Response
	body []byte
}

// do sends a request and returns the answer to it.
func (t *registryTest) do(c call) *answer {
	t.Helper()
	target, err := t.base.Parse(c.url)
	if err != nil {
		t.violated("%q is no URL: %v", c.url, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), exchangePatience)
	defer cancel()
	var body io.Reader
	if len(c.body) > 0 {
		body = bytes.NewReader(c.body)
	} else if c.method != "GET" && c.method != "HEAD" {
		body = http.NoBody
	}
	hr, err := http.NewRequestWithContext(ctx, c.method, target.String(), body)
	if err != nil {
		t.violated("%s %s cannot be requested: %v", c.method, target, err)
	}
	for i := 0; i+1 < len(c.header); i += 2 {
		hr.Header.Add(c.header[i], c.header[i+1])
	}
	if c.announce && t.target.Client == nil {
		hr.Header.Set("Expect", "100-continue")
	}
	t.last = &answer{request: hr}
	response, err := t.client.Do(hr)
	if err != nil {
		t.violated("there was no answer: %v", err)
	}
	defer response.Body.Close()
	t.last.Response = response
	t.last.body, err = io.ReadAll(response.Body)
	if err != nil {
		t.violated("the answer broke off: %v", err)
	}
	return t.last
}

// String describes the exchange.
func (a *answer) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  > %s %s\n", a.request.Method, a.request.URL)
	writeHeaders(&b, a.request.Header)
	if a.request.ContentLength > 0 {
		fmt.Fprintf(&b, "    (%d bytes)\n", a.request.ContentLength)
	}
	if a.Response == nil {
		return b.String()
	}
	fmt.Fprintf(&b, "  < %s\n", a.Status)
	writeHeaders(&b, a.Header)
	kind := a.Header.Get("Content-Type")
	switch text := string(a.body); {
	case text == "":
	case !strings.Contains(kind, "json") && !strings.HasPrefix(kind, "text/"):
		fmt.Fprintf(&b, "    (%d bytes)\n", len(text))
	case len(text) > excerptLimit:
		fmt.Fprintf(&b, "    %s… (%d bytes)\n", text[:excerptLimit], len(text))
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

// want reports a violation unless the answer has one of the statuses.
func (t *registryTest) want(a *answer, statuses ...int) {
	t.Helper()
	if slices.Contains(statuses, a.StatusCode) {
		return
	}
	names := make([]string, len(statuses))
	for i, s := range statuses {
		names[i] = fmt.Sprintf("%d %s", s, http.StatusText(s))
	}
	t.violated("the status is %s, not %s", a.Status, strings.Join(names, " or "))
}

// wantRefused reports a violation unless the answer has a 4xx status.
func (t *registryTest) wantRefused(a *answer, what string) {
	t.Helper()
	if a.StatusCode < 400 || a.StatusCode > 499 {
		t.violated("the status is %s, but %s is to be refused", a.Status, what)
	}
}

// wantHeader reports a violation unless a header of the answer has the value.
func (t *registryTest) wantHeader(a *answer, name, value string) {
	t.Helper()
	if got := a.Header.Get(name); got != value {
		t.violated("%s is %q, not %q", name, got, value)
	}
}

// wantBody reports a violation unless the body of the answer is the content.
func (t *registryTest) wantBody(a *answer, content []byte) {
	t.Helper()
	if !bytes.Equal(a.body, content) {
		t.violated("the body is not what was pushed: it has %d bytes, of %d", len(a.body), len(content))
	}
}

// get, and those below, send requests of one method.
func (t *registryTest) get(url string, header ...string) *answer {
	t.Helper()
	return t.do(call{method: "GET", url: url, header: header})
}

func (t *registryTest) head(url string, header ...string) *answer {
	t.Helper()
	return t.do(call{method: "HEAD", url: url, header: header})
}

func (t *registryTest) post(url string, header ...string) *answer {
	t.Helper()
	return t.do(call{method: "POST", url: url, header: header})
}

func (t *registryTest) put(url string, body []byte, header ...string) *answer {
	t.Helper()
	return t.do(call{method: "PUT", url: url, header: header, body: body})
}

func (t *registryTest) patch(url string, body []byte, header ...string) *answer {
	t.Helper()
	return t.do(call{method: "PATCH", url: url, header: header, body: body})
}

func (t *registryTest) delete(url string) *answer {
	t.Helper()
	return t.do(call{method: "DELETE", url: url})
}
