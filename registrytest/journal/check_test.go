package journal

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
)

func TestCheckSequence(t *testing.T) {
	t.Parallel()
	r := recorded(
		Record{Op: registry.HeadManifest}, Record{Op: registry.GetManifest},
		Record{Op: registry.GetBlob, Status: 404}, Record{Op: registry.GetBlob, Status: 200},
	)
	for _, c := range []struct {
		name string
		want []registry.Op
		diff string // the difference in the error, or "" for no error
	}{
		{"the same", []registry.Op{registry.HeadManifest, registry.GetManifest, registry.GetBlob, registry.GetBlob}, ""},
		{
			"one too many", []registry.Op{registry.HeadManifest, registry.GetManifest, registry.GetBlob},
			"+ get-blob        #4 GET /v2/ 200",
		},
		{
			"one missing", []registry.Op{registry.Ping, registry.HeadManifest, registry.GetManifest, registry.GetBlob, registry.GetBlob},
			"- ping\n  head-manifest   #1 GET /v2/ -",
		},
		{
			"another order", []registry.Op{registry.GetManifest, registry.HeadManifest, registry.GetBlob, registry.GetBlob},
			"- get-manifest\n  head-manifest   #1 GET /v2/ -\n+ get-manifest    #2",
		},
		{"nothing was expected", nil, "+ head-manifest"},
	} {
		tb := faketb.New(t)
		r.CheckSequence(tb, c.want...)
		if c.diff == "" {
			require.Empty(t, tb.Errors(), c.name)
			continue
		}
		require.Len(t, tb.Errors(), 1, c.name)
		require.Contains(t, tb.Errors()[0], c.diff, c.name)
	}
	tb := faketb.New(t)
	Requests{}.CheckSequence(tb, registry.Ping)
	require.Contains(t, tb.Errors()[0], "- ping\n")
	Requests{}.CheckSequence(t)
}

func TestChecksNeedATest(t *testing.T) {
	t.Parallel()
	require.PanicsWithValue(t, "journal: Requests.CheckSequence needs a test, but t is nil", func() { Requests{}.CheckSequence(nil) })
	require.PanicsWithValue(t, "journal: Requests.CheckGolden needs a test, but t is nil", func() { Requests{}.CheckGolden((*testing.T)(nil), "x") })
}

// The content of a golden file does not depend on the port, on the IDs of upload
// sessions or on the time. Sorted makes it independent of the order of requests.
func TestGoldenFormIsStable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dir", "push.golden")
	run := func(reverse bool) (Requests, string) {
		s := newJournalServer(t, 0)
		content := []string{"first", "second", "third"}
		if reverse {
			content[0], content[2] = content[2], content[0]
		}
		for _, c := range content {
			d := digest.FromString(c)
			s.do(t, "HEAD", "/v2/app/blobs/"+string(d), nil)
			start := s.do(t, "POST", "/v2/app/blobs/uploads/", nil, "User-Agent", fmt.Sprint(reverse))
			s.do(t, "PUT", start.Header.Get("Location")+"?digest="+string(d), strings.NewReader(c))
		}
		s.do(t, "GET", "/v2/app/tags/list?ns="+url.QueryEscape(strings.TrimPrefix(s.URL, "http://")), nil)
		s.do(t, "GET", "/v2/app/manifests/v1", nil, "Authorization", "Basic YWxpY2U6c2VjcmV0")
		return s.Requests().Sorted(registry.HeadBlob, registry.StartUpload, registry.PutUpload), s.URL
	}
	first, url1 := run(false)
	second, url2 := run(true)
	require.NotEqual(t, url1, url2)

	missing := faketb.New(t)
	first.CheckGolden(missing, file)
	require.Len(t, missing.Errors(), 1)
	require.Contains(t, missing.Errors()[0], "REGISTRYTEST_UPDATE=1")
	require.Contains(t, missing.Errors()[0], "POST /v2/app/blobs/uploads/ 202")

	t.Setenv(updateEnv, "1")
	first.CheckGolden(t, file)
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	lines := splitLines(written)
	require.Len(t, lines, 11)
	require.Regexp(t, `^HEAD /v2/app/blobs/sha256:[0-9a-f]{64} 404$`, lines[0])
	require.Equal(t, "POST /v2/app/blobs/uploads/ 202", lines[3])
	require.Regexp(t, `^PUT /v2/app/blobs/uploads/<session>\?digest=sha256:[0-9a-f]{64} 201$`, lines[6])
	require.Equal(t, "GET /v2/app/tags/list?ns=<host> 200", lines[9])
	require.Equal(t, "GET /v2/app/manifests/v1 404 MANIFEST_UNKNOWN user=alice", lines[10])

	t.Setenv(updateEnv, "")
	first.CheckGolden(t, file)
	second.CheckGolden(t, file)

	unsorted := faketb.New(t)
	Requests{records: second.journal.records()}.CheckGolden(unsorted, file)
	require.Len(t, unsorted.Errors(), 1, "a golden file has the order of arrival")
}

func TestCheckGolden(t *testing.T) {
	r := recorded(Record{Status: 200}, Record{Status: 404})
	file := filepath.Join(t.TempDir(), "a.golden")
	check := func(content string) []string {
		require.NoError(t, os.WriteFile(file, []byte(content), 0o666))
		tb := faketb.New(t)
		r.CheckGolden(tb, file)
		return tb.Errors()
	}
	require.Empty(t, check("GET /v2/ 200\nGET /v2/ 404\n"))
	require.Empty(t, check("GET /v2/ 200\r\nGET /v2/ 404\r\n"), "git may write such line ends on Windows")

	got := check("GET /v2/ 200\nGET /v2/ 200\nGET /v2/ 404\n")
	require.Len(t, got, 1)
	require.Contains(t, got[0], file)
	require.Contains(t, got[0], updateEnv)
	require.Contains(t, got[0], "  GET /v2/ 200\n- GET /v2/ 200\n  GET /v2/ 404\n")
	require.Contains(t, check("")[0], "+ GET /v2/ 200\n+ GET /v2/ 404\n")

	tb := faketb.New(t)
	r.CheckGolden(tb, t.TempDir())
	require.Len(t, tb.Errors(), 1, "a directory is not a golden file")

	t.Setenv(updateEnv, "1")
	tb = faketb.New(t)
	r.CheckGolden(tb, file)
	require.Empty(t, tb.Errors())
	t.Setenv(updateEnv, "")
	r.CheckGolden(t, file)
	t.Setenv(updateEnv, "1")
	r.CheckGolden(tb, t.TempDir())
	require.Len(t, tb.Errors(), 1, "the golden file cannot be written")
}
