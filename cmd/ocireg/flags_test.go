package main

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// A request has the responses in its row of the table: one without the flags, and
// one with them.
func TestFlagsChangeAnswers(t *testing.T) {
	t.Parallel()
	const config = `{}`
	missing := digest.FromString("nowhere").String()
	delete := func(path string) func(*testing.T, *instance) string {
		return func(t *testing.T, i *instance) string {
			i.pushTag(t, "app", "v1")
			i.pushBlob(t, "app", config)
			return i.do(t, "DELETE", "/v2/app/"+path, "").Status
		}
	}
	get := func(path string) func(*testing.T, *instance) string {
		return func(t *testing.T, i *instance) string { return i.do(t, "GET", path, "").Status }
	}
	post := func(query, body string) func(*testing.T, *instance) string {
		return func(t *testing.T, i *instance) string {
			i.pushBlob(t, "app", config)
			return i.do(t, "POST", "/v2/other/blobs/uploads/"+query, body).Status
		}
	}
	put := func(mediaType, content string) func(*testing.T, *instance) string {
		return func(t *testing.T, i *instance) string { return i.put(t, "app", "v1", mediaType, content).Status }
	}
	const (
		created    = "201 Created"
		accepted   = "202 Accepted"
		badRequest = "400 Bad Request"
		notFound   = "404 Not Found"
		notAllowed = "405 Method Not Allowed"
		ok         = "200 OK"
	)
	for _, test := range []struct {
		args          string
		ask           func(*testing.T, *instance) string
		without, with string
	}{
		{"-read-only", func(t *testing.T, i *instance) string {
			return i.do(t, "POST", "/v2/app/blobs/uploads/", "").Status
		}, accepted, notAllowed},
		{"-no-delete", delete("manifests/v1"), accepted, notAllowed},
		{"-no-delete", delete("manifests/" + digest.FromString(emptyIndex).String()), accepted, notAllowed},
		{"-no-delete", delete("blobs/" + digest.FromString(config).String()), accepted, notAllowed},
		{"-no-referrers", get("/v2/app/referrers/" + missing), ok, notFound},
		{"-no-catalog", get("/v2/_catalog"), ok, notFound},
		{"-flatpak", get("/index/static?tag=latest"), notFound, ok},
		{"-no-mount", post("?from=app&mount="+digest.FromString(config).String(), ""), created, accepted},
		{"-no-anonymous-mount", post("?mount="+digest.FromString(config).String(), ""), created, accepted},
		{"-no-single-post", post("?digest="+digest.FromString("blob").String(), "blob"), created, accepted},
		{"-sparse", put(ocispec.MediaTypeImageManifest, imageManifest(config)), badRequest, created},
		{"-sparse=junk -sparse=ap*", put(ocispec.MediaTypeImageManifest, imageManifest(config)), badRequest, created},
		{"-sparse=junk/**", put(ocispec.MediaTypeImageManifest, imageManifest(config)), badRequest, badRequest},
		{"-sparse=false", put(ocispec.MediaTypeImageManifest, imageManifest(config)), badRequest, badRequest},
		{"-any-manifest", put("text/plain", "hello"), badRequest, created},
		{"-any-manifest=app", put("text/plain", "hello"), badRequest, created},
		{"-any-manifest=junk/**", put("text/plain", "hello"), badRequest, badRequest},
		{"-manifest-limit 20", put(ocispec.MediaTypeImageIndex, emptyIndex), created, "413 Request Entity Too Large"},
		{"-page-size 1", func(t *testing.T, i *instance) string {
			i.pushTag(t, "app", "v1")
			i.pushTag(t, "app", "v2")
			a := i.do(t, "GET", "/v2/app/tags/list", "")
			return a.body + a.Header.Get("Link")
		}, `{"name":"app","tags":["v1","v2"]}`, `{"name":"app","tags":["v1"]}</v2/app/tags/list?last=v1>; rel="next"`},
		{"-min-chunk 100", func(t *testing.T, i *instance) string {
			return i.do(t, "POST", "/v2/app/blobs/uploads/", "").Header.Get("OCI-Chunk-Min-Length")
		}, "", "100"},
		{"-upload-limit 1", func(t *testing.T, i *instance) string {
			i.do(t, "POST", "/v2/app/blobs/uploads/", "")
			return i.do(t, "POST", "/v2/app/blobs/uploads/", "").Status
		}, accepted, "429 Too Many Requests"},
		{"-storage-limit 20", put(ocispec.MediaTypeImageIndex, emptyIndex), created, "507 Insufficient Storage"},
		{"-storage-limit 20 -upload-limit 9", put(ocispec.MediaTypeImageIndex, emptyIndex), created, "507 Insufficient Storage"},
		{"-upload-expiry 1ns", func(t *testing.T, i *instance) string {
			location := i.do(t, "POST", "/v2/app/blobs/uploads/", "").Header.Get("Location")
			for begin := time.Now(); time.Since(begin) == 0; {
				// The clock of Windows may tick only 64 times a second.
			}
			return i.do(t, "GET", location, "").Status
		}, "204 No Content", notFound},
		{"-warning one -warning two", func(t *testing.T, i *instance) string {
			return strings.Join(i.do(t, "GET", "/v2/", "").Header["Warning"], ", ")
		}, "", `299 - "one", 299 - "two"`},
		// If a flag is given twice, its last value counts.
		{"-manifest-limit 20 -manifest-limit 1000", put(ocispec.MediaTypeImageIndex, emptyIndex), created, created},
		{"-read-only -read-only=false", put(ocispec.MediaTypeImageIndex, emptyIndex), created, created},
	} {
		t.Run(test.args, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.without, test.ask(t, start(t)))
			require.Equal(t, test.with, test.ask(t, start(t, strings.Fields(test.args)...)))
		})
	}
}

// For an invalid command line, the command prints one line.
func TestBadCommandLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-nonsense"}, "flag provided but not defined: -nonsense; ocireg -h lists the flags"},
		{[]string{"-log", "xml"}, `invalid value "xml" for flag -log: want text or json; ocireg -h lists the flags`},
		{[]string{"-log", "a\nb"}, `invalid value "a\nb" for flag -log: want text or json; ocireg -h lists the flags`},
		{[]string{"-page-size", "0"}, `invalid value "0" for flag -page-size: want a whole number above 0; ocireg -h lists the flags`},
		{[]string{"-sparse="}, `invalid boolean value "" for -sparse: want a pattern, such as junk/**, or no value for all repositories; ocireg -h lists the flags`},
		{[]string{"-min-chunk", "ten"}, `invalid value "ten" for flag -min-chunk: want a whole number above 0; ocireg -h lists the flags`},
		{[]string{"-manifest-limit", "-1"}, `invalid value "-1" for flag -manifest-limit: want a whole number above 0; ocireg -h lists the flags`},
		{[]string{"-upload-expiry", "-1s"}, `invalid value "-1s" for flag -upload-expiry: want a duration above 0, such as 90s; ocireg -h lists the flags`},
		{[]string{"-upload-expiry", "3"}, `invalid value "3" for flag -upload-expiry: want a duration above 0, such as 90s; ocireg -h lists the flags`},
		{[]string{"-addr"}, "flag needs an argument: -addr; ocireg -h lists the flags"},
		{[]string{"-addr", "5000"}, `-addr "5000" is not HOST:PORT or :PORT`},
		{[]string{"-addr", "127.0.0.1:70000"}, "listen tcp: address 70000: invalid port"},
		{[]string{"a", "b"}, "want one DIR, got 2; ocireg -h shows the usage"},
		{[]string{"a", "-read-only"}, "-read-only comes after DIR; put flags before it"},
		{[]string{""}, "DIR is an empty string; leave it out for a registry in memory"},
		{[]string{"-repository", "app"}, "-repository needs DIR"},
		{[]string{"-sync"}, "-sync needs DIR"},
		{[]string{"-overlay"}, "-overlay needs DIR"},
		{[]string{"-overlay", "-sync", "."}, "-sync and -referrers-tags have no effect with -overlay, which does not write to DIR; leave them out"},
		{[]string{"-user", "ci"}, `invalid value "ci" for flag -user: want NAME:PASSWORD; ocireg -h lists the flags`},
		{[]string{"-user", "anonymous:x"}, `"anonymous" cannot be the name of a user; ocireg -h shows the usage`},
		{[]string{"-allow", "ci fly **"}, `invalid value "ci fly **" for flag -allow: rule "ci fly **": "fly" is not pull, push, delete, list or *; ocireg -h lists the flags`},
		{[]string{"-token"}, "-token needs -user or -allow; ocireg -h shows the usage"},
	} {
		t.Run(fmt.Sprintf("%q", test.args), func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, refused(t, test.args...))
		})
	}
}

// The help goes to standard output, fits a screen and names every flag. The help
// about flags describes each flag.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"-h", "-help", "--help"} {
		var stdout, stderr bytes.Buffer
		require.Equal(t, 0, run(t.Context(), []string{arg}, &stdout, &stderr))
		require.Empty(t, stderr.String())
		require.True(t, strings.HasPrefix(stdout.String(), "Usage: ocireg [flags] [DIR | FILE]\n"))
		require.LessOrEqual(t, strings.Count(stdout.String(), "\n"), 45)
		var flags bytes.Buffer
		require.Equal(t, 0, run(t.Context(), []string{"help", "flags"}, &flags, &stderr))
		for _, name := range []string{
			"addr", "any-manifest", "cross-origin", "host", "log", "manifest-limit", "min-chunk", "no-anonymous-mount", "no-catalog", "no-delete",
			"no-mount", "no-referrers", "no-single-post", "overlay", "page-size", "quiet", "read-only", "referrers-tags", "repository", "sparse", "sync", "tag", "tls",
			"tls-dir", "upload-expiry", "warning", "no-schema-version", "storage-limit", "upload-limit", "shared-blobs", "absolute-locations", "path-prefix",
		} {
			require.Contains(t, "\n"+flags.String(), "\n  -"+name)
			require.Contains(t, strings.Fields(stdout.String()), "-"+name)
		}
		for line := range strings.Lines(stdout.String() + flags.String()) {
			require.LessOrEqual(t, len(line), 100, line)
		}
	}
}

// An address without a host listens only on loopback.
func TestListen(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{":0", "127.0.0.1:0", "localhost:0"} {
		l, err := listen("-addr", addr)
		require.NoError(t, err)
		defer l.Close()
		require.True(t, l.Addr().(*net.TCPAddr).IP.IsLoopback(), addr)
	}
}

// The printed host is one that clients can dial: the host of -addr, or a loopback address
// if -addr means all interfaces. The port is the one that the command listens on.
func TestHostOf(t *testing.T) {
	t.Parallel()
	l, err := listen("-addr", ":0")
	require.NoError(t, err)
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	for addr, want := range map[string]string{
		":0":                 "127.0.0.1:" + port,
		"localhost:0":        "localhost:" + port,
		"[::1]:0":            "[::1]:" + port,
		"registry.example:0": "registry.example:" + port,
		"0.0.0.0:0":          "127.0.0.1:" + port,
		"[::]:0":             "127.0.0.1:" + port,
	} {
		require.Equal(t, want, hostOf(l, addr))
	}
}
