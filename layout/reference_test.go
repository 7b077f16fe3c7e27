package layout

import (
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/names"
)

func TestParseReference(t *testing.T) {
	t.Parallel()
	hex := strings.Repeat("0123456789abcdef", 4)
	for s, want := range map[string]reference{
		"v1":                                 {tag: "v1"},
		"V1.0-rc_1":                          {tag: "V1.0-rc_1"},
		"sha256-" + hex:                      {tag: "sha256-" + hex},
		"docker.io/library/alpine:3":         {"docker.io", "library/alpine", "3"},
		"team/app:v1":                        {"", "team/app", "v1"},
		"app:v1":                             {"", "app", "v1"},
		"localhost:5000/x:y":                 {"localhost:5000", "x", "y"},
		"localhost/x:y":                      {"localhost", "x", "y"},
		"localhost/my.team/app:y":            {"localhost", "my.team/app", "y"},
		"localhost:y":                        {"", "localhost", "y"},
		"[::1]:5000/x:y":                     {"[::1]:5000", "x", "y"},
		"quay.io/app":                        {"quay.io", "app", ""},
		"team/app":                           {"", "team/app", ""},
		"localhost:5000/app":                 {"localhost:5000", "app", ""},
		"team/app@sha256:" + hex:             {"", "team/app", ""},
		"quay.io/team/app:v1@sha256:" + hex:  {"quay.io", "team/app", "v1"},
		"quay.io/team/app@sha256:" + hex:     {"quay.io", "team/app", ""},
		"my-registry/team.a/app__b:v1":       {"", "my-registry/team.a/app__b", "v1"},
		strings.Repeat("a", 255) + ":v1":     {"", strings.Repeat("a", 255), "v1"},
		"x/y:" + strings.Repeat("z", 128):    {"", "x/y", strings.Repeat("z", 128)},
		"":                                   {},
		"-v1":                                {},
		".v1":                                {},
		"v1+build":                           {},
		"no tag":                             {},
		"Team/App:v1":                        {},
		"team//app:v1":                       {},
		"/team/app:v1":                       {},
		"team/app/:v1":                       {},
		"team/app:":                          {},
		"team/app:v1:v2":                     {},
		"team/app:-v1":                       {},
		"../app:v1":                          {},
		":v1":                                {},
		"@sha256:" + hex:                     {},
		"docker.io/:v1":                      {},
		"a_.b:v1":                            {},
		"a___b:v1":                           {},
		"é/app:v1":                           {},
		"x/y:" + strings.Repeat("z", 129):    {},
		strings.Repeat("a", 256) + ":v1":     {},
		"oci:dir:v1":                         {},
		"https://quay.io/team/app:v1":        {},
		"docker.io/library/alpine:3\x00":     {},
		"sha256:" + hex:                      {},
		"blake3:" + hex:                      {},
		"v1@weird":                           {},
		"team/app@weird":                     {},
		"team/app:v1@":                       {},
		"v1@sha256:" + hex:                   {tag: "v1"}, // containerd writes the full name beside this tag
		"localhost/app@sha256:" + hex:        {"localhost", "app", ""},
		"app:123abc":                         {"", "app", "123abc"},
		"app:" + hex:                         {"", "app", hex},
		"quay.io:443/a/b/c:latest@sha256:xy": {"quay.io:443", "a/b/c", "latest"},
	} {
		require.Equal(t, want, parseReference(s), "%q", s)
	}
}

func TestReferenceNameIsReadBack(t *testing.T) {
	t.Parallel()
	hex := strings.Repeat("0123456789abcdef", 4)
	const d = digest.Digest("sha256:00")
	for name, r := range map[string]reference{
		"docker.io/library/alpine":   {"docker.io", "library/alpine", ""},
		"docker.io/library/alpine:3": {"docker.io", "library/alpine", "3"},
		"team/app":                   {"", "team/app", ""},
		"team/app:v1":                {"", "team/app", "v1"},
		"localhost/app":              {"", "app", ""},
		"app:v1":                     {"", "app", "v1"},
		"localhost/localhost":        {"", "localhost", ""},
		"localhost:v1":               {"", "localhost", "v1"},
		"localhost/a.b":              {"", "a.b", ""},
		"a.b:v1":                     {"", "a.b", "v1"},
		"localhost/my.team/app":      {"", "my.team/app", ""},
		"localhost/my.team/app:v1":   {"", "my.team/app", "v1"},
		"localhost/localhost/app":    {"", "localhost/app", ""},
		"localhost/sha256:" + hex:    {"", "sha256", hex},
		"app:" + hex:                 {"", "app", hex},
	} {
		if r.tag == "" {
			name += "@" + string(d)
		}
		require.Equal(t, name, r.String(d))
		read := parseReference(name)
		require.Equal(t, r.repo, read.repo, name)
		require.Equal(t, r.tag, read.tag, name)
	}
}

func TestRepositoryForDirectory(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]string{
		"app":         "app",
		"My App (1)":  "my-app-1",
		"app.git":     "app.git",
		"a__b_c.d--e": "a__b_c.d--e",
		"a___b":       "a-b",
		"a..b":        "a-b",
		"a.-b":        "a-b",
		"__app__":     "app",
		"Größe":       "gr-e",
		"...":         "image",
		"/":           "image",
		".":           "image",
		"":            "image",
		"日本":          "image",
		"v1:latest":   "v1-latest",
	} {
		require.Equal(t, want, repositoryFor(dir), "%q", dir)
	}
}

// FuzzReference compares parseReference with regular expressions for the forms
// in the specifications. It also checks that parsing the name that a write
// stores returns the same repository and tag, and the same host if there was one.
func FuzzReference(f *testing.F) {
	const component = `[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`
	const sum = `[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+`
	tagOnly := regexp.MustCompile(`^([a-zA-Z0-9_][a-zA-Z0-9._-]{0,127})(?:@` + sum + `)?$`)
	full := regexp.MustCompile(`^(?:(localhost|[^./@][^/@]*[.:][^/@]*|:[^/@]*)/)?(` + component + `(?:/` + component + `)*)(?::([a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}))?(?:@` + sum + `)?$`)
	digestOnly := regexp.MustCompile(`^(?:(?:sha256|blake3):[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})(?:@|$)`)
	model := func(s string) reference {
		if m := tagOnly.FindStringSubmatch(s); m != nil {
			return reference{tag: m[1]}
		}
		m := full.FindStringSubmatch(s)
		name, _, _ := strings.Cut(s, "@")
		if m == nil || !strings.ContainsAny(name, "/:") || digestOnly.MatchString(s) || len(m[2]) > names.MaxLength {
			return reference{}
		}
		return reference{m[1], m[2], m[3]}
	}
	for _, s := range []string{"v1@weird", "v1@sha256:00", "sha256:" + strings.Repeat("0", 64), "sha256:v1", "app:v1@", "a.b", "v1", "team/app:v1", "docker.io/library/alpine:3", "a.b/c@sha256:00", "localhost/a.b/c:d", "x:", "/", "@", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := parseReference(s)
		require.Equal(t, model(s), r, "%q", s)
		if r.tag != "" {
			require.True(t, names.Tag(r.tag))
		}
		if r.repo == "" {
			require.Empty(t, r.host)
			return
		}
		require.True(t, names.Repository(r.repo))
		// Without a host, the stored name may have the host localhost.
		const d = digest.Digest("sha256:00")
		for _, tag := range []string{"v1", "", r.tag, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"} {
			if r.host != "" {
				require.Equal(t, reference{r.host, r.repo, tag}, parseReference(reference{r.host, r.repo, tag}.String(d)))
			}
			read := parseReference(reference{"", r.repo, tag}.String(d))
			require.Equal(t, r.repo, read.repo)
			require.Equal(t, tag, read.tag)
		}
		require.True(t, names.Repository(repositoryFor(s)))
	})
}

func TestEscape(t *testing.T) {
	t.Parallel()
	for component, dir := range map[string]string{
		"app": "app", "a_b": "a_b", "a.b": "a.b", "console": "console", "com": "com", "com10": "com10", "aux-1": "aux-1",
		"blobs": "blobs_", "index.json": "index_.json", "oci-layout": "oci-layout_", "blobs.tar": "blobs.tar",
		"con": "con_", "prn": "prn_", "aux": "aux_", "nul": "nul_", "com1": "com1_", "lpt9": "lpt9_", "com0": "com0_",
		"nul.tar": "nul_.tar", "con.a.b": "con_.a.b",
	} {
		require.Equal(t, dir, escape(component))
		got, ok := unescape(dir)
		require.True(t, ok, dir)
		require.Equal(t, component, got)
	}
	for _, dir := range []string{"", "_", "app_", "blobs__", "Blobs", "con_x_", "nul.tar_", "index.json_", ".git", "a b", "con_.", "CON"} {
		_, ok := unescape(dir)
		require.False(t, ok, dir)
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"blobs", "con_", "nul_.tar", "a__b", "index.json"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if names.Component(s) {
			got, ok := unescape(escape(s))
			require.True(t, ok)
			require.Equal(t, s, got)
		}
		if component, ok := unescape(s); ok {
			require.True(t, names.Component(component))
			require.True(t, s == component || s == escape(component))
		}
	})
}
