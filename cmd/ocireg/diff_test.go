package main

import (
	"bytes"
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/inject"
	"github.com/ocireg/registry/registrytest/journal"
	"github.com/ocireg/registry/registrytest/profile"
)

// compare runs ocireg diff and returns its exit code and its output.
func compare(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), append([]string{"diff"}, args...), &out, &err)
	return code, out.String(), err.String()
}

// outcomes parses the output of ocireg diff. It returns the quirks by their outcome.
func outcomes(stdout string) map[string][]string {
	found := make(map[string][]string)
	for _, m := range regexp.MustCompile(`(?m)^(holds|differs|untried) +([a-z0-9.-]+)`).FindAllStringSubmatch(stdout, -1) {
		found[m[1]] = append(found[m[1]], m[2])
	}
	return found
}

// userOf returns the value of -user with the credentials of the profile.
func userOf(p *profile.Profile) string {
	c := p.Credentials()
	if c.Username == "" {
		return "anonymous:"
	}
	return c.Username + ":" + c.Password
}

// existing is an option of profiles. It creates the repositories to which probes
// push, except one that a probe needs to be missing.
var existing = profile.Repositories("probe/ocireg-*", "probe/ocireg-*/**")

// untried lists the quirks of each profile that ocireg diff does not try here,
// because their probes take minutes or need a repository outside of the prefix.
var untried = map[string][]string{
	"docker-hub": {"docker-hub.library-prefix"},
	"ghcr":       {"ghcr.upload-expiry"},
	"harbor":     {"harbor.unknown-project-401", "harbor.mount-401"},
	"quay":       {"quay.namespace-must-exist", "quay.creator-token"},
}

// A registry with a profile does not differ from that profile. The comparison
// leaves no content behind, unless the profile forbids deletion. It sends no
// requests for repositories outside of the prefix.
func TestDiffOfProfile(t *testing.T) {
	t.Parallel()
	for p := range profile.All(existing) {
		t.Run(p.Name(), func(t *testing.T) {
			t.Parallel()
			store := memstore.New()
			reg := registrytest.NewServer(t, p, registrytest.WithStore(store))
			code, stdout, stderr := compare(t, "-profile", p.Name(), "-prefix", "probe", "-user", userOf(p), reg.URL)
			require.Equal(t, 0, code, stdout+stderr)
			got := outcomes(stdout)
			require.Empty(t, got["differs"], stdout)
			require.Equal(t, len(p.Quirks()), len(got["holds"])+len(got["untried"]), stdout)
			require.Equal(t, untried[p.Name()], got["untried"], stdout)
			for _, r := range reg.Requests().Records() {
				for _, repo := range []string{r.Repo, r.From} {
					require.True(t, repo == "" || strings.HasPrefix(repo, "probe/"), "%v", r)
				}
			}
			if !strings.Contains(stdout, "not deleted: ") {
				requireEmpty(t, store, reg.Requests())
			}
		})
	}
}

// requireEmpty fails the test if the store has content that the requests pushed.
func requireEmpty(t *testing.T, store registry.Store, requests journal.Requests) {
	t.Helper()
	require.NotZero(t, requests.Status(http.StatusCreated).Len())
	for _, r := range requests.Status(http.StatusCreated).Records() {
		switch d := digest.Digest(r.ResponseHeader.Get("Docker-Content-Digest")); r.Op {
		case registry.PutManifest:
			require.NoError(t, d.Validate())
			_, err := store.StatManifest(t.Context(), r.Repo, string(d))
			require.ErrorIs(t, err, fs.ErrNotExist, "%v", r)
			for tag := range store.Tags(t.Context(), r.Repo, "") {
				require.Fail(t, "a tag is left", "%s:%s", r.Repo, tag)
			}
		case registry.PutUpload, registry.PostBlob, registry.MountBlob:
			_, err := store.StatBlob(t.Context(), r.Repo, r.Digest)
			require.ErrorIs(t, err, fs.ErrNotExist, "%v", r)
		}
	}
}

// planted returns the lines of the output about a quirk that differs.
func planted(stdout, quirk string) string {
	_, after, _ := strings.Cut(stdout, "differs  "+quirk+":")
	before, _, _ := strings.Cut(after, "source ")
	return before
}

// A registry without a profile differs from a profile in all of its quirks, and
// the output names them.
func TestDiffOfPlainRegistry(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	reg := registrytest.NewServer(t, registrytest.WithStore(store))
	code, stdout, stderr := compare(t, "-profile", "distribution-2.8", "-prefix", "probe", "-user", "anonymous:", reg.URL)
	require.Equal(t, 1, code, stderr)
	require.Empty(t, stderr)
	got := outcomes(stdout)
	require.Empty(t, got["holds"], stdout)
	require.Len(t, got["differs"], len(profile.Distribution28().Quirks()), stdout)
	requireEmpty(t, store, reg.Requests())
}

// If one quirk is missing or changed, the registry differs only in that quirk.
func TestDiffFindsWrongReceipt(t *testing.T) {
	t.Parallel()
	for _, option := range []registrytest.Option{
		profile.Distribution3(profile.Except("distribution.single-post-202")),
		registry.Options(append([]registry.Option{registry.WithFaults(ruleOf(t, "post-blob status=418").Inject)}, profile.Distribution3().Options()...)...),
	} {
		reg := registrytest.NewServer(t, option)
		code, stdout, _ := compare(t, "-v", "-profile", "distribution-3", "-prefix", "probe", "-user", "anonymous:", reg.URL)
		require.Equal(t, 1, code)
		require.Equal(t, []string{"distribution.single-post-202"}, outcomes(stdout)["differs"], stdout)
		require.Regexp(t, `want 202\n +got  (201|418)\n`, planted(stdout, "distribution.single-post-202"))
	}
}

func ruleOf(t *testing.T, text string) *inject.Rules {
	t.Helper()
	rules := new(inject.Rules)
	require.NoError(t, addFault(rules, text))
	return rules
}

// All probes can share a repository if it is empty.
func TestDiffInOneRepository(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	p := profile.ECR(profile.Repositories("probe/app", "probe/app/**"))
	reg := registrytest.NewServer(t, p, registrytest.WithStore(store))
	args := []string{"-profile", "ecr", "-prefix", "probe", "-repository", "probe/app", "-user", userOf(p), reg.URL}
	code, stdout, stderr := compare(t, args...)
	require.Equal(t, 0, code, stdout+stderr)
	require.Subset(t, []string{"probe/app", "probe/app/other"}, repositories(t, store))
	reg.Push(t, "probe/app:v1", content.Image())
	code, _, stderr = compare(t, args...)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "the repository probe/app has tags")
}

func repositories(t *testing.T, store registry.Store) (names []string) {
	t.Helper()
	for repo, err := range store.Repositories(t.Context(), "") {
		require.NoError(t, err)
		names = append(names, repo)
	}
	return names
}

// Without -user, ocireg diff uses the credentials in Docker's config.json. This
// test sets the environment, so it is not parallel.
func TestDiffCredentials(t *testing.T) {
	p := profile.Zot()
	reg := registrytest.NewServer(t, p)
	t.Setenv("DOCKER_CONFIG", p.Credentials().DockerConfig(t, reg.Host()))
	args := []string{"-profile", "zot", "-prefix", "probe", reg.URL}
	code, stdout, stderr := compare(t, args...)
	require.Equal(t, 0, code, stdout+stderr)
	for _, secret := range strings.Split(userOf(p), ":")[1:] {
		require.NotContains(t, stdout+stderr, secret)
	}
	code, _, stderr = compare(t, append([]string{"-user", "user:wrong"}, args...)...)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, `the registry refuses the credentials of "user"`)
}

// Invalid command lines are refused.
func TestDiffUsage(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"https://localhost":                                                      "diff needs -profile and -prefix",
		"-profile ecr -prefix probe":                                             "diff needs one URL",
		"-profile erc -prefix probe -user a:b https://localhost":                 `did you mean "ecr"?`,
		"-profile ecr -prefix Probe -user a:b https://localhost":                 `the prefix "Probe" is not a valid name`,
		"-profile ecr -prefix probe -user a:b ftp://localhost":                   "has to be http:// or https://",
		"-profile ecr -prefix probe -user a:b https://localhost/v2/":             "has to be http:// or https://",
		"-profile ecr -prefix probe -user a https://localhost":                   "want NAME:PASSWORD",
		"-profile ecr -prefix probe -repository app -user a:b https://localhost": `the repository "app" is not below the prefix`,
		"-profile ecr -prefix probe -timeout 0s -user a:b https://localhost":     "-timeout has to be above 0",
		"-profile ecr -prefix probe -user a:b -user c:d https://localhost":       "-user is given several times",
		"-profile ecr -prefix probe -user anonymous: http://127.0.0.1:1":         "connection refused",
	} {
		code, stdout, stderr := compare(t, strings.Fields(args)...)
		require.Equal(t, 2, code, args)
		require.Empty(t, stdout)
		require.Contains(t, stderr, want, args)
	}
	code, stdout, _ := compare(t, "-h")
	require.Equal(t, 0, code)
	require.Contains(t, stdout, "-prefix REPOSITORY")
}
