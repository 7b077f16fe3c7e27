package main

import (
	"encoding/json"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// The log has a line for each request: the time, the status, the operation, the
// duration, the bytes in and out, and the repository with the tag or digest.
func TestLogText(t *testing.T) {
	t.Parallel()
	i := start(t)
	missing := digest.FromString("nowhere").String()
	const lead = `^\d\d:\d\d:\d\d\.\d{6} `
	const took = ` +[0-9.]+(µs|ms|s) +`
	for _, test := range []struct {
		ask  func()
		want string
	}{
		{func() { i.do(t, "GET", "/v2/", "") },
			lead + `200 ping           ` + took + `0 in +2 out  GET /v2/\n$`},
		{func() { i.pushTag(t, "team/app", "v1") },
			lead + `201 put-manifest   ` + took + `34 in +0 out  team/app:v1\n$`},
		{func() { i.do(t, "GET", "/v2/team/app/manifests/v1", "") },
			lead + `200 get-manifest   ` + took + `0 in +34 out  team/app:v1\n$`},
		{func() { i.do(t, "HEAD", "/v2/team/app/blobs/"+missing, "") },
			lead + `404 head-blob      ` + took + `0 in +0 out  team/app@` + missing + ` BLOB_UNKNOWN\n$`},
		{func() { i.do(t, "GET", "/v2/team/app/tags/list", "") },
			lead + `200 list-tags      ` + took + `0 in +\d+ out  team/app\n$`},
		{func() { i.put(t, "team/app", "v2", ocispec.MediaTypeImageManifest, imageManifest("config")) },
			lead + `400 put-manifest   ` + took + `\d+ in +\d+ out  team/app:v2 MANIFEST_BLOB_UNKNOWN: team/app has no blob sha256:\w+\n$`},
		{func() { i.do(t, "GET", "/v2/UPPER/manifests/v1", "") },
			lead + `400 get-manifest   ` + took + `0 in +\d+ out  GET /v2/UPPER/manifests/v1 NAME_INVALID: .*\n$`},
		// A line break in a request's path does not begin a new line in the log.
		{func() { i.do(t, "GET", "/some%0a00:00:00%20%1b%5bmwhere", "") },
			lead + `404 unknown        ` + took + `0 in +\d+ out  GET /some%0a00:00:00%20%1b%5bmwhere UNSUPPORTED\n$`},
		// The log shortens a long path.
		{func() { i.do(t, "GET", "/"+strings.Repeat("x", 100_000), "") },
			lead + `404 unknown        ` + took + `0 in +\d+ out  GET /(xxxx){1000,}x*… UNSUPPORTED\n$`},
	} {
		test.ask()
		require.Regexp(t, regexp.MustCompile(test.want), i.stderr.next(t))
	}
}

// With -log json, the log has a JSON object in a line for each request.
func TestLogJSON(t *testing.T) {
	t.Parallel()
	i := start(t, "-log", "json")
	i.do(t, "GET", "/v2/app/manifests/v1", "")
	var line struct {
		Time, Msg, Level, Method, Path, Op string
		Repository, Reference              string
		Errors                             []string
		Status, In, Out                    int64
		Duration                           *int64
	}
	text := i.stderr.next(t)
	require.NoError(t, json.Unmarshal([]byte(text), &line), text)
	require.Equal(t, "request", line.Msg)
	require.Equal(t, "INFO", line.Level)
	require.Equal(t, "GET", line.Method)
	require.Equal(t, "/v2/app/manifests/v1", line.Path)
	require.Equal(t, "get-manifest", line.Op)
	require.EqualValues(t, http.StatusNotFound, line.Status)
	require.Equal(t, "app", line.Repository)
	require.Equal(t, "v1", line.Reference)
	require.Equal(t, []string{"NAME_UNKNOWN: there is no repository app"}, line.Errors)
	require.NotZero(t, line.Time)
	require.NotZero(t, line.Out)
	require.NotNil(t, line.Duration)
	if runtime.GOOS != "windows" { // On Windows, the clock may tick only 64 times a second.
		require.NotZero(t, *line.Duration)
	}
}

// With -quiet, the log has no requests.
func TestQuiet(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		i := start(t, "-quiet", "-log", format)
		i.do(t, "GET", "/v2/", "")
		require.Equal(t, 0, i.stop(t))
		require.Empty(t, i.stderr)
		require.Empty(t, i.stdout)
	}
}

// An error before the first request, such as one of TLS, is logged in the format of -log.
func TestLogTLSErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ format, want string }{
		{"text", `^\d\d:\d\d:\d\d\.\d{6} http: TLS handshake error from .*\n$`},
		{"json", `^\{"time":.*"msg":"http: TLS handshake error from .*\}\n$`},
	} {
		i := start(t, "-tls", "-log", test.format)
		conn, err := net.Dial("tcp", i.host)
		require.NoError(t, err)
		_, err = conn.Write([]byte("this is no TLS"))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		require.Regexp(t, regexp.MustCompile(test.want), i.stderr.next(t))
	}
}
