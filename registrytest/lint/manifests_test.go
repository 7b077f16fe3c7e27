package lint

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/content"
)

func TestManifestRules(t *testing.T) {
	image := content.Image()
	subject := content.Image(content.Seed(7))
	artifact := content.Artifact("application/vnd.example", content.Subject(subject))
	testRules(t, []ruleTest{
		{rule: Accept, name: "there", do: func(s *script) {
			s.send("GET", manifests+"v1", "", "Accept", testType)
			s.send("HEAD", manifests+"v1", "", "Accept", "*/*")
			s.send("GET", "/v2/app/blobs/"+dig("a"), "")
		}},
		{rule: Accept, name: "missing", do: func(s *script) {
			s.send("GET", manifests+"v1", "")
		}, want: "1: there is no Accept"},
		{rule: Accept, name: "missing from HEAD", do: func(s *script) {
			s.send("HEAD", manifests+"v1", "")
		}, want: "1: there is no Accept"},

		{rule: ContentType, name: "there", do: func(s *script) { s.put(image, "v1", "Content-Type", testType) }},
		{rule: ContentType, name: "missing", do: func(s *script) {
			s.put(image, "v1")
		}, want: "1: there is no Content-Type"},
		{rule: ContentType, name: "with parameters", do: func(s *script) {
			s.put(image, "v1", "Content-Type", testType+"; charset=utf-8")
		}, want: `1: Content-Type is "` + testType + `; charset=utf-8"`},

		{rule: MediaType, name: "the same", do: func(s *script) {
			s.put(image, "v1", "Content-Type", testType+"; charset=utf-8")
		}},
		{rule: MediaType, name: "another", do: func(s *script) {
			s.put(image, "v1", "Content-Type", "application/json")
		}, want: `1: Content-Type is "application/json", but mediaType is "` + testType + `"`},
		{rule: MediaType, name: "none", do: func(s *script) {
			s.send("PUT", manifests+"v1", `{"schemaVersion": 2}`, "Content-Type", testType)
		}},
		{rule: MediaType, name: "no manifest", do: func(s *script) {
			s.send("PUT", manifests+"v1", "junk", "Content-Type", testType)
		}},

		{rule: ReferrersFallback, name: "not necessary", do: func(s *script) {
			s.send("GET", "/v2/app/referrers/"+dig("a"), "")
		}},
		{rule: ReferrersFallback, name: "done", opts: []registry.Option{registry.Without(registry.ListReferrers)}, do: func(s *script) {
			s.send("GET", "/v2/app/referrers/"+dig("a"), "")
			s.send("GET", manifests+strings.Replace(dig("a"), ":", "-", 1), "")
		}},
		{rule: ReferrersFallback, name: "not done", opts: []registry.Option{registry.Without(registry.ListReferrers)}, do: func(s *script) {
			s.send("GET", manifests+strings.Replace(dig("a"), ":", "-", 1), "")
			s.send("GET", "/v2/app/referrers/"+dig("a"), "")
		}, want: "2: the response was 404, and the client did not request the referrers tag sha256-"},
		{rule: ReferrersFallback, name: "done elsewhere", opts: []registry.Option{registry.Without(registry.ListReferrers)}, do: func(s *script) {
			s.send("GET", "/v2/app/referrers/"+dig("a"), "")
			s.send("GET", "/v2/other/manifests/"+strings.Replace(dig("a"), ":", "-", 1), "")
		}, want: "1: the response was 404, and the client did not request the referrers tag sha256-"},

		{rule: ReferrersTag, name: "not necessary", do: func(s *script) {
			s.put(artifact, string(artifact.Digest), "Content-Type", testType)
		}},
		{rule: ReferrersTag, name: "no subject", opts: []registry.Option{registry.Without(registry.ListReferrers)}, do: func(s *script) {
			s.put(image, "v1", "Content-Type", testType)
		}},
		{rule: ReferrersTag, name: "pushed", opts: []registry.Option{registry.Without(registry.ListReferrers)}, do: func(s *script) {
			s.put(artifact, string(artifact.Digest), "Content-Type", testType)
			s.put(content.Index(), strings.Replace(string(subject.Digest), ":", "-", 1))
		}},
		{rule: ReferrersTag, name: "not pushed", opts: []registry.Option{registry.Without(registry.ListReferrers)}, do: func(s *script) {
			s.put(artifact, string(artifact.Digest), "Content-Type", testType)
		}, want: "1: the client did not push the referrers tag " + strings.Replace(string(subject.Digest), ":", "-", 1)},
	})
}

func TestReferrersTag(t *testing.T) {
	t.Parallel()
	// These are the examples in the spec's section Referrers Tag Schema.
	for d, want := range map[string]string{
		"sha256:" + strings.Repeat("a", 64):  "sha256-" + strings.Repeat("a", 64),
		"sha512:" + strings.Repeat("a", 128): "sha512-" + strings.Repeat("a", 64),
		"test+algorithm+using+algorithm+separators+and+lots+of+characters+to+excercise+overall+truncation:alsoSome=InTheEncodedSectionToShowHyphenReplacementAndLotsAndLotsOfCharactersToExcerciseEncodedTruncation": "test-algorithm-using-algorithm-s-alsoSome-InTheEncodedSectionToShowHyphenReplacementAndLotsAndLot",
	} {
		require.Equal(t, want, referrersTag(digest.Digest(d)))
	}
}
