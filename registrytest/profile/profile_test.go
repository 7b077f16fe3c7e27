package profile_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/profile"
)

// Errors say which option or name is wrong. An error about an unknown name
// suggests the nearest known one.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]interface{ Err() error }{
		`profile: no profile is called "gtlab"; did you mean "gitlab"?`:                                                               profile.Get("gtlab"),
		`profile: no profile is called "bitbucket"; there are acr, alibaba, `:                                                         profile.Get("bitbucket"),
		`profile gitlab@2026-13: "2026-13" is not a date, such as 2026-08 or 2026-08-31; its quirks changed on 2026-08-01`:            profile.Get("gitlab@2026-13"),
		`profile gitlab@2001: its behaviour at 2001 is not known: the oldest source dates from 2023-10-01`:                            profile.Get("gitlab@2001"),
		`profile ecr@: "" is not a date, such as 2026-08 or 2026-08-31`:                                                               profile.Get("ecr@"),
		`profile ecr@2027-01: its behaviour at 2027-01 is not known: the sources were read in 2026-11`:                                profile.Get("ecr@2027-01"),
		`profile ecr@2001-01: its behaviour at 2001-01 is not known: the oldest source dates from 2020-03-01`:                         profile.Get("ecr@2001-01"),
		`its quirks changed on 2024-06, 2024-07`:                                                                                      profile.Get("ecr@2001-01-01"),
		`profile ecr: no quirk is called "ecr.patch-202"; did you mean "ecr.patch-201"?`:                                              profile.ECR(profile.Except("ecr.patch-202")),
		`profile ecr: Except leaves out ghcr.no-delete, which the profile does not have`:                                              profile.ECR(profile.Except("ghcr.no-delete")),
		`profile ecr: With adds ecr.patch-201, which the profile has already`:                                                         profile.ECR(profile.With("ecr.patch-201")),
		`profile ghcr: ghcr.no-referrers and distribution.no-referrers contradict each other: both decide the feature list-referrers`: profile.GHCR(profile.With("distribution.no-referrers")),
		`profile distribution-3: With adds acr.challenge, which needs a token service; this registry has no authentication`:           profile.Distribution3(profile.With("acr.challenge")),
		`profile ecr: With adds ghcr.token-post-405, which needs a token service; this registry has basic authentication`:             profile.ECR(profile.With("ghcr.token-post-405")),
		`profile ecr.patch-201: With adds acr.challenge, which needs a token service; this registry has no authentication`:            profile.Quirk("ecr.patch-201").Profile(profile.With("acr.challenge")),
		`both decide HEAD of manifests`:                                              profile.Nexus(profile.With("others.head-manifest-405")),
		`both decide the Location of manifests`:                                      profile.Gitea(profile.With("artifactory.manifest-location")),
		`both decide the list of tags`:                                               profile.GHCR(profile.With("artifactory.digests-among-tags")),
		`both decide chunks out of order`:                                            profile.ACR(profile.With("distribution-2.8.chunk-order-unchecked")),
		`both decide the Range of new uploads`:                                       profile.Artifactory(profile.With("quay.upload-range")),
		`both decide missing manifests`:                                              profile.Harbor(profile.With("redhat.missing-unknown")),
		`both decide the Content-Type of manifests`:                                  profile.Distribution3(profile.With("others.manifest-without-type", "github-packages.charset")),
		`both decide mounts`:                                                         profile.ECR(profile.With("artifactory.no-mount")),
		`profile: no quirk is called "ecr.patch"; docs/profiles.md lists all quirks`: profile.Quirk("ecr.patch"),
		`profile ecr: Repositories: no repository can have the name "Team/**"`:       profile.ECR(profile.Repositories("team/**", "Team/**")),
		`profile ghcr: Public: no repository can have the name ""`:                   profile.GHCR(profile.Public("")),
		`an option of ecr is the zero Option`:                                        profile.ECR(profile.Option{}),
	} {
		require.ErrorContains(t, p.Err(), want)
	}
	require.Panics(t, func() { profile.Get("gtlab").Options() })
	require.Panics(t, func() { profile.Quirk("ecr.patch").Options() })

	fake := faketb.Try(t, func(t *faketb.TB) { registrytest.NewServer(t, profile.Get("gtlab")) })
	require.Contains(t, strings.Join(fake.Errors(), "\n"), `did you mean "gitlab"?`)
}

// A server refuses two options for authentication, or an option for a setting
// that a quirk decides. It accepts options for different settings.
func TestContradictions(t *testing.T) {
	t.Parallel()
	for want, opts := range map[string][]registrytest.Option{
		"both set the authentication":     {profile.ECR(), auth.Basic()},
		"both set the page size":          {profile.Quay(), registry.WithPageSize(10)},
		"profile.Profile and *profile":    {profile.ECR(), profile.GHCR()},
		"profile.Quirk and profile.Quirk": {profile.Quirk("ghcr.token-post-405"), profile.Quirk("acr.metadata-read")},
		"profile.Quirk and *auth.Auth":    {profile.Quirk("ghcr.token-post-405"), auth.Basic()},
	} {
		_, err := registrytest.StartServer(opts...)
		require.ErrorContains(t, err, want)
	}
	for _, opts := range [][]registrytest.Option{
		{profile.ECR(profile.WithoutAuth()), auth.Basic()},
		{profile.Quirk("ecr.patch-201"), profile.Quirk("quay.upload-range")},
		{profile.Quirk("distribution.single-post-202"), registry.Without(registry.PostBlob)},
	} {
		reg, err := registrytest.StartServer(opts...)
		require.NoError(t, err)
		require.NoError(t, reg.Close())
	}
}

func TestDates(t *testing.T) {
	t.Parallel()
	has := func(name string, q profile.Quirk) bool { return slices.Contains(profile.Get(name).Quirks(), q) }
	require.True(t, has("ecr@2023-01", "ecr.no-referrers"))
	require.True(t, has("ecr@2024-05-31", "ecr.no-referrers"))
	require.False(t, has("ecr@2024-06", "ecr.no-referrers"))
	require.True(t, has("ecr@2024-06", "ecr.subject-without-api"))
	require.False(t, has("ecr@2024-07", "ecr.subject-without-api"))
	require.False(t, has("ecr", "ecr.no-referrers"))
	require.True(t, has("gitlab@2026-08", "gitlab.subject-must-exist"))
	require.False(t, has("gitlab@2026-07", "gitlab.subject-must-exist"))
	require.True(t, has("gitlab", "gitlab.subject-must-exist"))
	require.Equal(t, "gitlab@2026-08", profile.Get("gitlab@2026-08").Name())
}

// A quirk about authentication adds the authentication of its registry, with
// credentials.
func TestProfileOfQuirk(t *testing.T) {
	t.Parallel()
	p := profile.Quirk("quay.token-1h").Profile()
	require.Equal(t, []profile.Quirk{"quay.token-1h"}, p.Quirks())
	require.NotEmpty(t, p.Credentials().Password)
	require.Equal(t, "/v2/auth", p.Auth().TokenPath)
	require.Nil(t, profile.Quirk("ecr.patch-201").Profile().Auth())
}

// With each profile, a client that has the credentials of the profile can pull.
func TestProfiles(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for p := range profile.All(profile.Repositories("team/**")) {
		require.False(t, names[p.Name()])
		names[p.Name()] = true
		t.Run(p.Name(), func(t *testing.T) {
			t.Parallel()
			require.NoError(t, p.Err())
			require.NotEmpty(t, p.Title())
			require.Equal(t, p.Quirks(), profile.Get(p.Name()).Quirks())
			reg := registrytest.NewServer(t, p)
			reg.Push(t, "team/app:v1", content.Image())
			r, err := http.NewRequest("GET", reg.URL+"/v2/team/app/manifests/v1", nil)
			require.NoError(t, err)
			r.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
			if a := p.Auth(); a != nil {
				if c := p.Credentials(); reg.Requests().Len() == 0 && isBasic(t, reg, c) {
					r.SetBasicAuth(c.Username, c.Password)
				} else {
					r.Header.Set("Authorization", "Bearer "+a.StaticToken(c.Username))
				}
			}
			resp, err := reg.Client().Do(r)
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, 200, resp.StatusCode, "%v", reg.Requests())
		})
	}
	require.GreaterOrEqual(t, len(names), 15)
}

func isBasic(t *testing.T, reg *registrytest.Server, c auth.Credentials) bool {
	r, err := http.NewRequest("GET", reg.URL+"/v2/", nil)
	require.NoError(t, err)
	r.SetBasicAuth(c.Username, c.Password)
	resp, err := reg.Client().Do(r)
	require.NoError(t, err)
	resp.Body.Close()
	return resp.StatusCode == 200
}

// With RealHosts, the token service and the storage of blobs are on hosts of their
// own.
func TestRealHosts(t *testing.T) {
	t.Parallel()
	n := registrytest.NewNetwork(t)
	p := profile.DockerHub(profile.RealHosts())
	hub := n.Registry("docker.io", p)
	require.Equal(t, []string{"auth.docker.io", "production.cloudflare.docker.com"}, p.Hosts())
	for _, host := range p.Hosts() {
		n.Handle(host, hub.Handler())
	}
	image := hub.Push(t, "library/alpine:3", content.Image())
	c := testclient.New(t, n.Client(), "https://registry-1.docker.io")
	manifest := "/v2/library/alpine/manifests/3"

	challenge := c.Do("GET", manifest, "").Header.Get("WWW-Authenticate")
	require.Equal(t, `Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull"`, challenge)
	r := c.Do("GET", "https://auth.docker.io/token?service=registry.docker.io&scope=repository:library/alpine:pull", "")
	var token struct{ Token string }
	require.NoError(t, json.Unmarshal([]byte(r.Body), &token))
	bearer := "Bearer " + token.Token
	require.Equal(t, 200, c.Do("GET", manifest, "", "Authorization", bearer, "Accept", image.MediaType).Status)

	blob := "/v2/library/alpine/blobs/" + string(image.Layers[0].Digest)
	require.Equal(t, 200, c.Do("GET", blob, "", "Authorization", bearer).Status)
	last := hub.Requests().Last()
	require.Equal(t, "production.cloudflare.docker.com", last.URL.Host)
	require.Empty(t, last.RequestHeader.Get("Authorization"), "net/http must not send Authorization to another host")

	n.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	storage := c.Do("GET", blob, "", "Authorization", bearer).Header.Get("Location")
	refused := c.Do("GET", storage, "", "Authorization", bearer)
	require.Equal(t, 400, refused.Status)
	require.Contains(t, refused.Body, "Only one auth mechanism allowed")
}

// The log of a failed test shows the receipts of responses, and lists the quirks
// that affected a response.
func TestReceipts(t *testing.T) {
	t.Parallel()
	fake := faketb.Try(t, func(fake *faketb.TB) {
		reg := registrytest.NewServer(fake, profile.ECR(profile.WithoutAuth(), profile.Repositories("**")))
		resp, err := reg.Client().Get(reg.URL + "/v2/app/tags/list?n=2000")
		require.NoError(t, err)
		resp.Body.Close()
		fake.Errorf("the test failed")
	})
	log := strings.Join(fake.Lines(), "\n")
	require.Contains(t, log, "quirk=ecr.tags-n-1000 (https://github.com/google/go-containerregistry/issues/681)")
	require.Regexp(t, `of the quirks of ecr, these shaped a response: ecr.tags-n-1000; these did not: .*ecr.patch-201`, log)
}

// A namespace exists if it has a repository. Repositories whose names sort between
// "team" and "team/" are in other namespaces, and do not hide the namespace.
func TestNamespaceWithNeighbours(t *testing.T) {
	t.Parallel()
	p := profile.Quirk("quay.namespace-must-exist").Profile()
	reg := registrytest.NewServer(t, p)
	for _, repo := range []string{"team-b/app", "team.c/app", "team/app"} {
		reg.Push(t, repo+":v1", content.Image())
	}
	for repo, want := range map[string]int{"team/new": http.StatusAccepted, "tea/new": http.StatusUnauthorized} {
		r, err := http.NewRequest("POST", reg.URL+"/v2/"+repo+"/blobs/uploads/", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+p.Auth().StaticToken(p.Credentials().Username))
		resp, err := reg.Client().Do(r)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, want, resp.StatusCode, repo)
	}
}
