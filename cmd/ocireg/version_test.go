package main

import (
	"bytes"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	const revision = "bf8da6a01d3b4a0f5c1d2e3f405162738495a6b7"
	checkout := []debug.BuildSetting{
		{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: revision}, {Key: "vcs.time", Value: "2026-11-30T07:37:00Z"},
	}
	clean := append(checkout[:3:3], debug.BuildSetting{Key: "vcs.modified", Value: "false"})
	modified := append(checkout[:3:3], debug.BuildSetting{Key: "vcs.modified", Value: "true"})
	for _, test := range []struct {
		release, module string
		settings        []debug.BuildSetting
		want            string
	}{
		{"", "v0.1.0", nil, "v0.1.0"},   // made by go install …@v0.1.0
		{"", "v0.1.0", clean, "v0.1.0"}, // made in a checkout of the tag
		{"", "v0.1.0+dirty", modified, "v0.1.0+dirty"},
		{"", "v0.0.0-20261130073700-bf8da6a01d3b", clean, "devel " + revision + " 2026-11-30T07:37:00Z"},
		{"", "v0.1.1-0.20261130073700-bf8da6a01d3b+dirty", modified, "devel " + revision + " 2026-11-30T07:37:00Z modified"},
		{"", "v0.0.0-20261130073700-bf8da6a01d3b", nil, "v0.0.0-20261130073700-bf8da6a01d3b"}, // made by go install …@main
		{"", "(devel)", clean, "devel " + revision + " 2026-11-30T07:37:00Z"},
		{"", "(devel)", nil, "devel"}, // made by go run
		{"", "", nil, "devel"},
		{"v0.1.0", "(devel)", nil, "v0.1.0"}, // made by internal/image
	} {
		info := &debug.BuildInfo{Main: debug.Module{Version: test.module}, Settings: test.settings}
		want := "ocireg " + test.want + " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
		require.Equal(t, want, version(test.release, info))
	}
	require.Equal(t, "ocireg devel "+runtime.Version()+" "+runtime.GOOS+"/"+runtime.GOARCH, version("", nil))
}

// With -version, the command prints one line and serves nothing, whatever the
// other flags.
func TestVersionFlag(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-version"}, {"--version"}, {"-addr", ":0", "-version"}, {"-version", "-offline"}} {
		var stdout, stderr bytes.Buffer
		require.Equal(t, 0, run(t.Context(), args, &stdout, &stderr))
		require.Empty(t, stderr.String())
		require.Equal(t, 1, strings.Count(stdout.String(), "\n"))
		require.Regexp(t, `^ocireg (devel|v\d).* `+runtime.Version()+` `+runtime.GOOS+`/`+runtime.GOARCH+"\n$", stdout.String())
	}
}
