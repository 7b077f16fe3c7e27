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

// A Target is a registry to test. The caller sets either Handler or URL. All
// other fields are optional.
type Target struct {
	// Handler is the registry. For each requirement, [Registry] starts a server
	// with the handler on a loopback address.
	Handler http.Handler

	// URL is the base URL of a running registry, such as
	// "https://registry.example.org".
	URL string

	// Client sends the requests, and adds the credentials that the registry
	// requires. If it is nil, the test uses a client without credentials.
	Client *http.Client

	// Repo is the prefix of all repositories to which the test pushes, such as
	// "team/scratch". If it is empty, the prefix is "registrytest". The rest of
	// each name is new in each run, so the test does not change other content of
	// the registry. It does not delete the content that it pushed.
	Repo string

	// Spec is the version of the distribution spec that the registry claims to
	// implement, "1.0" or "1.1". The test skips requirements of later versions.
	// If Spec is empty, the test checks all requirements, including those of the
	// spec's main branch.
	Spec string

	// Without lists the optional features that the registry lacks, as in
	// [registry.Without]. The test skips the requirements of those features. If
	// the spec says how a registry responds without a feature, the test checks
	// that instead.
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
// quotes the requirement, and shows the request and the response that violate
// it.
//
//	func TestConformance(t *testing.T) {
//		conformance.Registry(t, conformance.Target{
//			Handler: myregistry.New(),
//			Without: []registry.Feature{registry.DeleteBlob},
//		})
//	}
func Registry(t *testing.T, target Target) {
	list := new(largeList)
	for _, r := range requirements {
		t.Run(r.Category+"/"+r.Name, func(t *testing.T) {
			if reason := r.inapplicable(target); reason != "" {
				t.Skip(reason)
			}
			r.checkWith(t, target, list)
		})
	}
}

// A Level is the strength of a requirement (RFC 2119).
type Level string

// The levels of requirements.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
)

// A Requirement is one requirement of the spec on registries, with its check.
type Requirement struct {
	// Category is the part of the spec that has the requirement: "pull", "push",
	// "discovery" or "management", or "api" for all of them.
	Category string

	// Name is a short and unique description of the requirement.
	Name string

	// Section is a heading of the distribution spec, or a section of another
	// document, such as "RFC 9110, section 5.2". Text is a quotation from it.
	Section, Text string

	// Level is the strength of the requirement.
	Level Level

	// Since is the first version of the spec with the requirement: "1.0",
	// "1.1", or "main" if no released version has it.
	Since string

	// The requirement applies to a registry that has all features in the field
	// with, and none of those in the field without.
	with, without features

	check func(t *registryTest)
}

type features []registry.Feature

// String returns the names of the features for a message.
func (fs features) String() string {
	names := make([]string, len(fs))
	for i, f := range fs {
		names[i] = strconv.Quote(f.String())
	}
	return strings.Join(names, " or ")
}

// URL returns the URL of the section in the spec.
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

// The requirements quote the specs at these commits.
const (
	specCommit      = "967efdc079b91785ad18c77cc4f8991a47feefbf"
	imageSpecCommit = "13cff54902ec9ad6320cbc487a685b66fcd67171"
)

// These prefixes mark sections of documents other than the distribution spec.
// Docker's document is the origin of that spec, and clients still use parts of
// it that the spec omits.
const (
	dockerAPI   = "Docker Registry HTTP API V2, "
	rfc9110     = "RFC 9110, section "
	imageFormat = "OCI Image Format Specification, "
)

// imageSpecFiles maps sections of the image spec to their files.
var imageSpecFiles = map[string]string{
	"Digests":                              "descriptor.md",
	"Extensibility":                        "considerations.md",
	"Image Index Property Descriptions":    "image-index.md",
	"Image Manifest Property Descriptions": "manifest.md",
}

func anchor(title string) string { return strings.ReplaceAll(strings.ToLower(title), " ", "-") }

// Requirements returns all requirements that [Registry] checks. A caller may
// list them, or check some with [Requirement.Check].
//
// Two requirements of the spec are missing, because a client cannot observe them
// in a test: that unfinished uploads expire (section Cancel a blob upload), and
// that the referrers API lists manifests that were pushed before the registry
// had the API (section Enabling the Referrers API).
func Requirements() []Requirement {
	return slices.Clone(requirements)
}

var requirements = slices.Concat(apiRequirements, httpRequirements, pullRequirements, rangeRequirements, blobRequirements, uploadRequirements,
	mountRequirements, manifestRequirements, imageSpecRequirements, tagRequirements, referrerRequirements, catalogRequirements, deleteRequirements)

// inapplicable returns the reason why the requirement does not apply to the
// target, or "".
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

// Check checks that the target meets the requirement, and otherwise calls
// tb.Fatalf. It does nothing if the requirement does not apply to the target;
// see [Target].
func (r Requirement) Check(tb TB, target Target) {
	tb.Helper()
	if r.inapplicable(target) == "" {
		r.checkWith(tb, target, new(largeList))
	}
}

// checkWith checks that the target meets the requirement, even if the requirement does
// not apply. Requirements that need a largeList share list: the first of them pushes it.
func (r Requirement) checkWith(tb TB, target Target, list *largeList) {
	tb.Helper()
	t := &registryTest{TB: tb, requirement: r, target: target, client: target.Client, list: list}
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
// returns the base URL.
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
