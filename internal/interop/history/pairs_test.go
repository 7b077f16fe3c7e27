package history

import (
	"testing"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/profile"
)

var pairs = []*pair{
	{
		bug: "lists the catalog with n=10000", program: "ggcr", old: "v0.5.1", new: "v0.6.0",
		source:  "https://github.com/google/go-containerregistry/pull/1091",
		profile: "ecr", quirk: "ecr.tags-n-1000",
		do: []string{"catalog", "$HOST/team/app:v1"}, shows: "maxResults",
	},
	{
		bug: "fails if there are no referrers", program: "ggcr-referrers", old: "v0.14.0", new: "v0.15.0",
		source:  "https://github.com/google/go-containerregistry/pull/1648",
		profile: "distribution-3", quirk: "distribution.no-referrers",
		do: []string{"$HOST/team/app:v1"}, shows: "MANIFEST_UNKNOWN",
	},
	{
		bug: "needs Docker-Content-Digest in the response to a tag", program: "cue",
		old: "v0.0.0-20240214163758-5ebe80b0a9a6", new: "v0.0.0-20240314152124-224736b49f2e",
		source:  "https://github.com/cue-labs/oci/commit/5a9bab7",
		profile: "ecr", quirk: "ecr.tag-get-without-digest",
		do: []string{"$HOST/team/app:v1"}, shows: "no digest found", short: true,
	},
	{
		bug: "asks for one token with two scopes to mount a blob", program: "ggcr", old: "v0.8.0", new: "v0.9.0",
		source:  "https://github.com/google/go-containerregistry/issues/1312",
		profile: "docker-hub@2022-03", quirk: "docker-hub.first-scope",
		do: []string{"mount", "$HOST/team/new:v1", "$HOST/team/app:v1"}, shows: "UNAUTHORIZED",
	},
	{
		bug: "mounts from a repository of another registry", program: "ggcr", old: "v0.10.0", new: "v0.11.0",
		source:  "https://github.com/google/go-containerregistry/issues/1404",
		profile: "docker-hub", quirk: "docker-hub.mount-401",
		do: []string{"copy", "$HOST/team/new:v1", "$OTHER/other/app:v1"}, shows: "UNAUTHORIZED",
	},
	{
		bug: "takes a page in HTML for the list of referrers", program: "ggcr-referrers", old: "v0.19.2", new: "v0.20.0",
		source:  "https://github.com/google/go-containerregistry/pull/1968",
		profile: "artifact-registry@2023-11", quirk: "artifact-registry.referrers-html",
		do: []string{"$HOST/team/app:v1"}, shows: "invalid character '<'",
	},
	{
		bug: "takes a page in HTML for the list of referrers", program: "oras", old: "v2.3.1", new: "v2.4.0",
		source:  "https://github.com/oras-project/oras-go/pull/635",
		profile: "artifact-registry@2023-11", quirk: "artifact-registry.referrers-html",
		do: []string{"referrers", "$HOST/team/app:v1"}, shows: "invalid character '<'",
	},
	{
		bug: "caches tokens by the scope of the challenge", program: "oras-rc", old: "v2.0.0-rc.1", new: "v2.0.0-rc.2",
		source:  "https://github.com/oras-project/oras/issues/456",
		profile: "ecr-public", quirk: "ecr-public.challenge",
		do: []string{"push", "$HOST/team/app:v2"}, shows: "request body is not rewindable",
	},
	{
		bug: "needs Docker-Content-Digest in the response to a tag", program: "oras-rc", old: "v2.0.0-rc.2", new: "v2.0.0-rc.3",
		source:  "https://github.com/oras-project/oras-go/issues/225",
		profile: "ecr", quirk: "ecr.tag-get-without-digest",
		do: []string{"pull", "$HOST/team/app:v1"}, shows: "Docker-Content-Digest",
	},
	{
		bug: "pushes a config without a byte", program: "oras-rc", old: "v2.0.0-rc.2", new: "v2.0.0-rc.3",
		source:  "https://github.com/oras-project/oras-go/issues/294",
		profile: "artifact-registry", quirk: "google.empty-blob-400",
		do: []string{"push", "$HOST/team/app:v2"}, shows: "unexpected status code 400",
	},
	{
		bug: "gives up if a manifest that it looks for is forbidden", program: "ggcr", old: "v0.15.1", new: "v0.15.2",
		source:  "https://github.com/google/go-containerregistry/pull/1691",
		profile: "artifactory", quirk: "artifactory.missing-403",
		do: []string{"push", "$HOST/team/app:v2"}, shows: "unexpected status code 403 Forbidden",
	},
	{
		bug: "fails if the list of referrers is not acceptable", program: "ggcr-referrers", old: "v0.20.2", new: "v0.20.3",
		source:  "https://github.com/google/go-containerregistry/issues/1962",
		profile: "artifactory@2024-06", quirk: "artifactory.referrers-406",
		do: []string{"$HOST/team/app:v1"}, seed: fallbackTag, shows: "/referrers/sha256:",
	},
	{
		bug: "refuses a realm at the private address of the registry", program: "ggcr", old: "v0.21.5", new: "v0.21.6",
		source:  "https://github.com/google/go-containerregistry/issues/2302",
		profile: "harbor", quirk: "harbor.challenge", without: []profile.Option{profile.WithoutAuth()},
		do: []string{"pull", "$HOST/team/app:v1"}, shows: "is a private or link-local address",
	},
	{
		bug: "does not retry the token with GET if POST is 400", program: "containerd1", old: "v1.5.8", new: "v1.6.1",
		source:  "https://github.com/containerd/nerdctl/issues/737",
		profile: "acr", quirk: "acr.token-post-400",
		do: []string{"$HOST/team/app:v1"}, shows: "unexpected status: 400 Bad Request",
	},
	{
		bug: "asks for a range of a manifest", program: "containerd2", old: "v2.1.2", new: "v2.1.3",
		source:  "https://github.com/containerd/containerd/issues/11953",
		profile: "artifactory", quirk: "artifactory.manifest-range-400",
		do: []string{"$HOST/team/app:v1"}, shows: "400 Bad Request",
	},
	{
		bug: "takes a whole blob for the part that it asked for", program: "containerd2", old: "v2.1.4", new: "v2.1.5",
		source:  "https://github.com/containerd/containerd/pull/12291",
		profile: "gitea", quirk: "gitea.no-ranges",
		do: []string{"$HOST/team/big:v1", "parallel"}, seed: bigImage, shows: "the content of",
	},
	{
		bug: "takes a code other than MANIFEST_UNKNOWN for a failure", program: "imgutil",
		old: "v0.0.0-20200520132953-ba4f77a60397", new: "v0.0.0-20200528211046-5c4cfa56bb24",
		source:  "https://github.com/buildpacks/lifecycle/commit/570d2cc7",
		profile: "harbor", quirk: "harbor.not-found",
		do: []string{"$HOST/team/app:v2"}, shows: "NOT_FOUND",
	},
	{
		bug: "takes a digest among the tags for an error", program: "image", old: "v5.31.0", new: "v5.31.1",
		source:  "https://github.com/containers/skopeo/issues/2346",
		profile: "artifactory", quirk: "artifactory.digests-among-tags",
		do: []string{"$HOST/team/app"}, shows: "invalid tag",
	},
	{
		bug: "takes null among the tags for an error", program: "image", old: "v5.32.2", new: "v5.33.0",
		source:  "https://github.com/containers/skopeo/issues/2409",
		profile: "nexus", quirk: "nexus.null-tags",
		do: []string{"$HOST/team/app"}, shows: "invalid tag",
	},
	{
		bug: "needs the Content-Length of a manifest", program: "oras", old: "v2.0.0-rc.5", new: "v2.0.0-rc.6",
		source:  "https://github.com/oras-project/oras-go/issues/374",
		profile: "zot@2022-12", quirk: "zot.manifest-without-length",
		do: []string{"pull", "$HOST/team/long:v1"}, seed: longManifest, shows: "unknown response Content-Length",
	},
	{
		bug: "asks for the next page although it has all tags", program: "cue-tags",
		old: "v0.0.0-20251212221603-3adeb8663819", new: "v0.0.0-20260717083115-5eb5795f322a",
		source:  "https://github.com/cue-labs/oci/issues/53",
		profile: "artifact-registry", quirk: "google.tags-members",
		do: []string{"$HOST/team/app"}, seed: fiveTags, shows: "listed twice",
	},
	{
		bug: "verifies nothing of a blob without Content-Length", program: "ggcr", old: "v0.7.0", new: "v0.8.0",
		source:  "https://github.com/google/go-containerregistry/issues/1061",
		profile: "gcr", quirk: "gcr.blob-without-length",
		do: []string{"layer", "$HOST/team/app:v1"}, shows: "error verifying",
	},
	{
		bug: "ignores the least size of chunks", program: "regclient", old: "v0.4.7", new: "v0.4.8",
		source: "https://github.com/regclient/regclient/commit/4b9703d", quirk: "others.chunk-minimum",
		do: []string{"push-blob", "$HOST/team/app", "5000000"}, shows: "[http 400]",
	},
	{
		bug: "does not resume a chunk of which a part arrived", program: "regclient", old: "v0.4.5", new: "v0.4.6",
		source: "https://github.com/regclient/regclient/pull/325", quirk: "others.half-chunk-416",
		do: []string{"push-blob", "$HOST/team/app", "1500000"}, shows: "[http 416]",
	},
	{
		bug: "fails at once if there are too many requests", program: "ggcr", old: "v0.21.5", new: "v0.21.6",
		source: "https://github.com/google/go-containerregistry/issues/2111", quirk: "others.first-manifest-429",
		do: []string{"pull", "$HOST/team/app:v1"}, shows: "TOOMANYREQUESTS",
	},
	{
		bug: "sends the password to the token service with POST", program: "helm4", old: "v4.0.0-alpha.1", new: "v4.0.0-beta.1",
		source:  "https://github.com/helm/helm/pull/31222",
		profile: "ghcr", quirk: "ghcr.token-post-405",
		do: []string{"$HOST/team/app:1.2.3"}, shows: "response status code 405",
	},
	{
		bug: "asks for a token to pull, and then pushes", program: "helm3", old: "v3.21.4", new: "v3.22.0",
		source:  "https://github.com/helm/helm/issues/32144",
		profile: "quay", quirk: "quay.creator-token",
		do: []string{"$HOST/team/new/app:1.2.3"}, shows: "response status code 401",
	},
	{
		bug: "pushes an attestation before its subject", program: "buildkit", old: "v0.32.0", new: "v0.32.1",
		source:  "https://github.com/moby/buildkit/issues/7007",
		profile: "gitlab", quirk: "gitlab.subject-must-exist", with: []profile.Option{profile.WithoutAuth()},
		do: []string{"$HOST/team/app:v2"}, shows: "400 Bad Request",
	},
	{
		bug: "sends its credentials to the host that Location names", program: "oras", old: "v2.6.0", new: "v2.6.1",
		source:  "https://nvd.nist.gov/vuln/detail/CVE-2026-50151",
		profile: "ecr", quirk: "hostile.upload-location", with: []profile.Option{profile.With("hostile.upload-location")}, without: []profile.Option{},
		do: []string{"push", "$HOST/team/app"}, shows: "credentials of another host", refuses: "Location",
	},
	{
		bug: "does not authenticate where a redirect leads", program: "regclient", old: "v0.7.1", new: "v0.7.2",
		source: "https://github.com/regclient/regclient/pull/805", quirk: "others.redirect-asks",
		do: []string{"pull", "$HOST/team/app:v1"}, shows: "context deadline exceeded",
	},
}

// bigImage pushes team/big:v1, an image with a layer that clients pull or
// push in several parts.
func bigImage(t *testing.T, reg *registrytest.Server) {
	t.Helper()
	reg.Push(t, "team/big:v1", content.Image(content.LayerSizes(100_000)))
}

// longManifest pushes team/long:v1, an image with a manifest of 3,000 bytes.
func longManifest(t *testing.T, reg *registrytest.Server) {
	t.Helper()
	reg.Push(t, "team/long:v1", content.Image(content.ManifestSize(3000)))
}

// fiveTags pushes five more tags to team/app.
func fiveTags(t *testing.T, reg *registrytest.Server) {
	t.Helper()
	for _, tag := range []string{"v2", "v3", "v4", "v5", "v6"} {
		reg.Push(t, "team/app:"+tag, content.Image())
	}
}

// fallbackTag pushes the referrers tag of team/app:v1, for a registry without
// the referrers API.
func fallbackTag(t *testing.T, reg *registrytest.Server) {
	t.Helper()
	subject := reg.Get(t, "team/app:v1").Digest
	reg.Push(t, "team/app:"+subject.Algorithm().String()+"-"+subject.Encoded(), content.Index())
}
