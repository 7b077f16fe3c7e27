package conformance

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ocireg/registry"
)

// A Target is the registry to test. A caller sets either Handler or URL and may
// leave out all other fields.
type Target struct {
	// Handler is the registry. [Registry] starts a server on a loopback
	// address for each requirement, all for the same handler.
	Handler http.Handler

	// URL is the root of a running registry, such as
	// "https://registry.example.org".
	URL string

	// Client sends the requests. It adds the credentials that the registry
	// asks for. If it is nil, a client without credentials is used.
	Client *http.Client

	// Repo is the prefix of every repository that the test writes to, as in
	// "team/scratch". The default is "registrytest". The rest of the name is
	// new in each run, so the test does not touch the registry's other
	// content. The test does not delete the content that it pushed.
	Repo string

	// Spec is the version of the distribution spec that the registry claims
	// to implement, "1.0" or "1.1". The requirements of later versions are
	// skipped. If Spec is empty, every requirement applies, those of the
	// spec's main branch included.
	Spec string

	// Without lists the optional features that the registry lacks, in the
	// words of [registry.Without]. The requirements of those features are
	// skipped. Where the spec says how a registry responds without a feature,
	// that is checked instead.
	Without []registry.Feature

	// ManifestLimit is the size in bytes of the largest manifest that the
	// registry accepts. If it is 0, the registry must refuse a manifest of
	// 64 MiB.
	ManifestLimit int64

	// SkipShould skips the requirements of level [Should].
	SkipShould bool
}

const (
	defaultTargetRepo = "registrytest"
	excessiveManifest = 64 << 20
)

// Registry tests that a registry meets the OCI Distribution Specification, in
// one subtest for each [Requirement]. A failure names the section of the spec,
// quotes the requirement, and shows the request and the response that violates
// it.
//
//	func TestConformance(t *testing.T) {
//		conformance.Registry(t, conformance.Target{
//			Handler: myregistry.New(),
//			Without: []registry.Feature{registry.DeleteBlob},
//		})
//	}
func Registry(t *testing.T, target Target) {
	for _, r := range requirements {
		t.Run(r.Category+"/"+r.Name, func(t *testing.T) {
			if reason := r.inapplicable(target); reason != "" {
				t.Skip(reason)
			}
			r.Check(t, target)
		})
	}
}

// A Level is the strength of a requirement (RFC 2119).
type Level string

// The levels.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
)

// A Requirement is one demand of the spec on a registry, with its check.
type Requirement struct {
	// Category is the part of the spec that the requirement belongs to:
	// "pull", "push", "discovery" or "management", or "api" for all of them.
	Category string

	// Name is a short, unique description.
	Name string

	// Section is a heading of the spec, and Text is a quotation from below it.
	Section, Text string

	// Level is the strength of the requirement.
	Level Level

	// Since is the first version of the spec with the requirement: "1.0",
	// "1.1", or "main" if no released version has it.
	Since string

	// The requirement applies only to registries that have all features of
	// with and none of without.
	with, without features

	check func(t *registryTest)
}

type features []registry.Feature

// String returns the names of the features.
func (fs features) String() string {
	names := make([]string, len(fs))
	for i, f := range fs {
		names[i] = strconv.Quote(f.String())
	}
	return strings.Join(names, " or ")
}

// URL returns the address of the requirement's section.
func (r Requirement) URL() string {
	if title, ok := strings.CutPrefix(r.Section, dockerAPI); ok {
		return "https://distribution.github.io/distribution/spec/api/#" + anchor(title)
	}
	if number, ok := strings.CutPrefix(r.Section, rfc9110); ok {
		return "https://www.rfc-editor.org/rfc/rfc9110#section-" + number
	}
	if title, ok := strings.CutPrefix(r.Section, imageFormat); ok {
		return "https://github.com/opencontainers/image-spec/blob/" + imageSpecCommit + "/" + imageSpecFiles[title] + "#" + anchor(title)
	}
	return "https://github.com/opencontainers/distribution-spec/blob/" + specCommit + "/spec.md#" + anchor(r.Section)
}

// The commits of the specs that the requirements quote.
const (
	specCommit      = "967efdc079b91785ad18c77cc4f8991a47feefbf"
	imageSpecCommit = "13cff54902ec9ad6320cbc487a685b66fcd67171"
)

// The prefixes of sections that are not in the distribution spec. Docker's
// document is its origin, and clients still use parts that the spec left out.
const (
	dockerAPI   = "Docker Registry HTTP API V2, "
	rfc9110     = "RFC 9110, section "
	imageFormat = "OCI Image Format Specification, "
)

// imageSpecFiles are the files of the image spec's sections.
var imageSpecFiles = map[string]string{
	"Digests":                              "descriptor.md",
	"Extensibility":                        "considerations.md",
	"Image Index Property Descriptions":    "image-index.md",
	"Image Manifest Property Descriptions": "manifest.md",
}

func anchor(title string) string { return strings.ReplaceAll(strings.ToLower(title), " ", "-") }

// Requirements returns every requirement that [Registry] checks. A caller may
// list them, or check some of them with [Requirement.Check].
//
// Two demands of the spec are missing, because a client cannot observe them in
// a test: that unfinished uploads expire (Cancel a blob upload), and that the
// referrers API lists manifests pushed before the registry had it (Enabling the
// Referrers API).
func Requirements() []Requirement {
	return slices.Clone(requirements)
}

var requirements = slices.Concat(apiRequirements, httpRequirements, pullRequirements, rangeRequirements, blobRequirements, uploadRequirements,
	mountRequirements, manifestRequirements, imageSpecRequirements, tagRequirements, referrerRequirements, catalogRequirements, deleteRequirements)

// inapplicable returns the reason why the target need not meet the
// requirement, or "".
func (r Requirement) inapplicable(target Target) string {
	if r.Level == Should && target.SkipShould {
		return "Target.SkipShould skips requirements of level SHOULD"
	}
	if r.Since > target.Spec && target.Spec != "" {
		return fmt.Sprintf("version %s of the spec does not have this requirement", target.Spec)
	}
	for _, f := range r.with {
		if slices.Contains(target.Without, f) {
			return "Target.Without lists " + f.String()
		}
	}
	for _, f := range r.without {
		if !slices.Contains(target.Without, f) {
			return "Target.Without does not list " + f.String()
		}
	}
	return ""
}

// Check checks that the target meets the requirement, and calls tb.Fatalf if it
// does not. Check does nothing if the requirement does not apply to the target,
// see [Target].
func (r Requirement) Check(tb TB, target Target) {
	tb.Helper()
	if r.inapplicable(target) != "" {
		return
	}
	t := &registryTest{TB: tb, requirement: r, target: target, client: target.Client}
	if t.client == nil {
		t.client = &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ExpectContinueTimeout: exchangeTimeout}}
	}
	root := target.URL
	if target.Handler != nil {
		root = serve(tb, target.Handler)
	}
	base, err := url.Parse(root)
	if err != nil || base.Host == "" {
		tb.Fatalf("conformance.Target has no Handler, and its URL %q has no host: set one of them", root)
	}
	t.base = base
	defer t.client.CloseIdleConnections()
	r.check(t)
}

// serve serves the handler on a loopback address until the test ends, and
// returns the URL.
func serve(tb TB, h http.Handler) (root string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("starting a server for Target.Handler: %v", err)
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
