package names

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

func TestParseReference(t *testing.T) {
	t.Parallel()
	d := digest.FromString("")
	long := strings.Repeat("a", 128)
	for s, want := range map[string]Reference{
		"app":                            {Repository: "app"},
		"team/app:v1":                    {Repository: "team/app", Tag: "v1"},
		"team/my-app_1.x:V1.2_3-4":       {Repository: "team/my-app_1.x", Tag: "V1.2_3-4"},
		"app:" + long:                    {Repository: "app", Tag: long},
		strings.Repeat("a", 255):         {Repository: strings.Repeat("a", 255)},
		"team/app@" + string(d):          {Repository: "team/app", Digest: d},
		"team/app:v1@" + string(d):       {Repository: "team/app", Tag: "v1", Digest: d},
		"blobs/uploads/tags/list:latest": {Repository: "blobs/uploads/tags/list", Tag: "latest"},
		"docker.io/app:v1":               {Repository: "docker.io/app", Tag: "v1"},
		"localhost/app":                  {Repository: "localhost/app"},
	} {
		got, err := ParseReference(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	for s, want := range map[string]string{
		"":                        `"" is not the name of a repository`,
		":v1":                     `"" is not the name of a repository`,
		"Team/app":                `"Team/app" is not the name of a repository`,
		"team//app":               `is not the name of a repository`,
		"/app":                    `is not the name of a repository`,
		"app/":                    `is not the name of a repository`,
		strings.Repeat("a", 256):  `is not the name of a repository`,
		"app:":                    `"" is not a tag`,
		"app:-v":                  `"-v" is not a tag`,
		"app:" + long + "a":       `is not a tag`,
		"127.0.0.1:5000/app:v1":   `"5000/app:v1" is not a tag`,
		"app@":                    `"" is not a digest`,
		"app@sha256:12":           `"sha256:12" is not a digest`,
		"app@" + string(d) + "\n": "is not a digest",
	} {
		_, err := ParseReference(s)
		require.ErrorContains(t, err, want, s)
	}
}

func TestSplitHost(t *testing.T) {
	t.Parallel()
	for s, want := range map[string][2]string{
		"docker.io/library/alpine:3": {"docker.io", "library/alpine:3"},
		"127.0.0.1:5000/app:v1":      {"127.0.0.1:5000", "app:v1"},
		"[::1]:5000/app":             {"[::1]:5000", "app"},
		"localhost/app":              {"localhost", "app"},
		"localhost":                  {"", "localhost"},
		"team/app:v1":                {"", "team/app:v1"},
		"app:v1":                     {"", "app:v1"},
		".hidden/app":                {"", ".hidden/app"},
		"/app":                       {"", "/app"},
		"":                           {"", ""},
	} {
		host, rest := SplitHost(s)
		require.Equal(t, want, [2]string{host, rest}, s)
	}
}
