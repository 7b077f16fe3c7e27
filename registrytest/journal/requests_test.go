package journal

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
)

// recorded is a view of records that were never in a journal.
func recorded(records ...Record) Requests {
	var r Requests
	for i := range records {
		record := &records[i]
		record.Number = i + 1
		if record.Method == "" {
			record.Method = "GET"
		}
		if record.URL == nil {
			record.URL = &url.URL{Scheme: "http", Host: "127.0.0.1:4321", Path: "/v2/"}
		}
		r.records = append(r.records, record)
	}
	return r
}

func numbers(r Requests) []int {
	list := []int{}
	for _, record := range r.All() {
		list = append(list, record.Number)
	}
	return list
}

func TestRequestsAreFiltered(t *testing.T) {
	t.Parallel()
	d1, d2 := digest.FromString("1"), digest.FromString("2")
	all := recorded(
		Record{Op: registry.Ping, Status: 200},
		Record{Op: registry.GetManifest, Repo: "team/app", Tag: "v1", Status: 200, User: "alice"},
		Record{Op: registry.GetBlob, Repo: "team/app", Digest: d1, Status: 206},
		Record{Op: registry.GetBlob, Repo: "team/app/base", Digest: d2, Status: 404},
		Record{Op: registry.HeadBlob, Method: "HEAD", Repo: "other", Digest: d1, Ongoing: true},
		Record{Op: registry.GetBlob, Repo: "app", Digest: d1, Status: 200, Gone: true},
		Record{Op: registry.GetBlob, Repo: "app", Digest: d1, Status: 200, Err: http.ErrHandlerTimeout},
		Record{Op: registry.GetManifest, Repo: "app", Tag: "v2", Fault: &registry.Fault{}},
	)
	for _, c := range []struct {
		name string
		got  Requests
		want []int
	}{
		{"all", all, []int{1, 2, 3, 4, 5, 6, 7, 8}},
		{"one operation", all.Op(registry.GetManifest), []int{2, 8}},
		{"several operations", all.Op(registry.Ping, registry.HeadBlob), []int{1, 5}},
		{"no operation", all.Op(), []int{}},
		{"a repository", all.Repo("team/app"), []int{2, 3}},
		{"a star", all.Repo("team/*"), []int{2, 3}},
		{"two stars", all.Repo("team/**"), []int{2, 3, 4}},
		{"any repository", all.Repo("**"), []int{2, 3, 4, 5, 6, 7, 8}},
		{"several repositories", all.Repo("app", "other"), []int{5, 6, 7, 8}},
		{"a tag", all.Tag("v2"), []int{8}},
		{"any tag", all.Tag("*"), []int{2, 8}},
		{"a digest", all.Digest(d1), []int{3, 5, 6, 7}},
		{"no digest", all.Digest(""), []int{}},
		{"a method", all.Method("HEAD"), []int{5}},
		{"a user", all.User("al*"), []int{2}},
		{"nobody", all.User(""), []int{1, 3, 4, 5, 6, 7, 8}},
		{"a status", all.Status(200), []int{1, 2, 6, 7}},
		{"statuses", all.Status(404, 206), []int{3, 4}},
		{"failed", all.Failed(), []int{4, 6, 7, 8}},
		{"faulted", all.Faulted(), []int{8}},
		{"where", all.Where(func(r *Record) bool { return r.Number%2 == 0 }), []int{2, 4, 6, 8}},
		{"one after the other", all.Op(registry.GetBlob).Repo("app").Status(200), []int{6, 7}},
	} {
		require.Equal(t, c.want, numbers(c.got), c.name)
		require.Equal(t, len(c.want), c.got.Len(), c.name)
	}
	require.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 8}, numbers(all), "filters leave alone what they filter")
}

// Two views that were made of one do not disturb each other.
func TestRequestsBranch(t *testing.T) {
	t.Parallel()
	var j Journal
	base := j.Requests().Repo("**").Repo("**").Repo("**")
	gets, heads := base.Method("GET"), base.Method("HEAD")
	for _, method := range []string{"GET", "HEAD", "GET"} {
		r := &registry.Request{Request: &http.Request{Method: method, URL: &url.URL{}}, Repo: "app"}
		j.Record(&registry.Exchange{Request: r})
	}
	gets, err := gets.WaitFor(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, []int{1, 3}, numbers(gets))
	heads, err = heads.WaitFor(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, []int{2}, numbers(heads))
}

func TestRequestsByIndex(t *testing.T) {
	t.Parallel()
	r := recorded(Record{}, Record{}, Record{})
	require.Equal(t, 1, r.First().Number)
	require.Equal(t, 2, r.At(1).Number)
	require.Equal(t, 3, r.Last().Number)
	for i, record := range r.All() {
		require.Same(t, r.At(i), record)
		break
	}
	for _, none := range []*Record{r.At(3), r.At(-1), Requests{}.First(), Requests{}.Last()} {
		require.Equal(t, &Record{}, none, "a test can compare with it")
		require.NotPanics(t, func() { _ = none.String() })
	}
}

func TestSortedSortsRuns(t *testing.T) {
	t.Parallel()
	at := func(op registry.Op, path string) Record {
		return Record{Op: op, URL: &url.URL{Path: path}}
	}
	r := recorded(
		at(registry.GetManifest, "/z"),
		at(registry.GetBlob, "/c"), at(registry.GetBlob, "/a"), at(registry.HeadBlob, "/b"),
		at(registry.GetManifest, "/y"),
		at(registry.GetBlob, "/2"), at(registry.GetBlob, "/1"),
	)
	require.Equal(t, []int{1, 3, 4, 2, 5, 7, 6}, numbers(r.Sorted(registry.GetBlob, registry.HeadBlob)))
	require.Equal(t, []int{1, 3, 2, 4, 5, 7, 6}, numbers(r.Sorted(registry.GetBlob)))
	require.Equal(t, []int{7, 6, 3, 4, 2, 5, 1}, numbers(r.Sorted()))
	require.Equal(t, []int{1, 2, 3, 4, 5, 6, 7}, numbers(r), "the order of the first is left alone")
}

func TestRecordInOneLine(t *testing.T) {
	t.Parallel()
	at := func(raw string) *url.URL {
		u, err := url.Parse("http://127.0.0.1:4321" + raw)
		require.NoError(t, err)
		return u
	}
	for _, c := range []struct {
		record Record
		want   string
	}{
		{Record{URL: at("/v2/"), Status: 200}, "GET /v2/ 200"},
		{Record{URL: at("/v2/")}, "GET /v2/ -"},
		{
			Record{URL: at("/v2/a/tags/list?n=2&last=b"), Status: 200},
			"GET /v2/a/tags/list?n=2&last=b 200",
		},
		{
			Record{URL: at("/v2/a/blobs/uploads/12-34?_state=5&digest=sha256:1"), Session: "12-34", Status: 201},
			"GET /v2/a/blobs/uploads/<session>?digest=sha256:1 201",
		},
		{
			Record{URL: at("/v2/a/blobs/uploads/12-34?_state=5"), Session: "12-34", Status: 202, Range: "0-3"},
			"GET /v2/a/blobs/uploads/<session> 202 range=0-3",
		},
		{
			Record{URL: at("/v2/a/blobs/uploads/?mount=sha256%3A1&from=b%2fc%20d"), Status: 201},
			"GET /v2/a/blobs/uploads/?mount=sha256:1&from=b/c%20d 201",
		},
		{
			Record{URL: at("/v2/a/tags/list?ns=127.0.0.1:4321"), Status: 200},
			"GET /v2/a/tags/list?ns=<host> 200",
		},
		{
			Record{URL: at("/v2/a/tags/list?ns=127.0.0.1%3A4321"), Status: 200},
			"GET /v2/a/tags/list?ns=<host> 200",
		},
		{
			Record{
				URL: at("/v2/a/manifests/b"), Status: 400, User: "alice", Fault: &registry.Fault{Name: "slow"},
				Errors: []*registry.Error{{Code: "ONE"}, {Code: "TWO"}},
			},
			"GET /v2/a/manifests/b 400 ONE TWO user=alice fault=slow",
		},
	} {
		r := recorded(c.record)
		require.Equal(t, c.want, r.First().String())
	}
}

func TestRequestsAsATable(t *testing.T) {
	t.Parallel()
	d := digest.FromString("1")
	start := time.Now()
	r := recorded(
		Record{Op: registry.Ping, Conn: 1, Status: 200, Start: start, Duration: 1234567, BytesOut: 2},
		Record{
			Op: registry.GetBlob, Conn: 12, Digest: d, Status: 206, Range: "bytes=0-9", Start: start.Add(time.Second),
			URL: &url.URL{Path: "/v2/app/blobs/" + string(d)}, BytesOut: 10, Gone: true,
		},
		Record{Op: registry.PutUpload, Method: "PUT", Ongoing: true, Start: start.Add(2 * time.Second)},
	)
	const want = `
#  conn  at  took    op          request                                  status  in  out
1  1     0s  1.23ms  ping        GET /v2/                                 200     0   2
2  12    1s  0s      get-blob    GET /v2/app/blobs/sha256:6b86b273ff34…   206     0   10   range=bytes=0-9 client gone
3  0     2s  …       put-upload  PUT /v2/                                 …       0   0
`
	lines := strings.Split(r.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	got := strings.Join(lines, "\n")
	if strings.Fields(got)[0] != "#" || strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		require.Equal(t, strings.TrimPrefix(want, "\n"), got)
	}
	column := func(line, word string) int { return len([]rune(line[:strings.Index(line, word)])) }
	require.Equal(t, column(lines[0], "request"), column(lines[1], "GET"), "columns are aligned")
	require.Equal(t, column(lines[0], "request"), column(lines[2], "GET"), "columns are aligned")
	require.Equal(t, column(lines[0], "status"), column(lines[2], "206"), "columns are aligned")

	r = recorded(Record{URL: &url.URL{Path: "/v2/app/manifests/" + strings.Replace(string(d), ":", "-", 1), RawQuery: "digest=sha512%3A" + strings.Repeat("0", 128)}})
	require.Contains(t, r.String(), " GET /v2/app/manifests/sha256-6b86b273ff34…?digest=sha512:000000000000… ")
	require.Contains(t, recorded(Record{URL: &url.URL{Path: "/v2/app/manifests/sha256-short"}}).String(), "/sha256-short ")

	require.Equal(t, "no requests\n", Requests{}.String())
	last := recorded(Record{Op: registry.Ping}, Record{Op: registry.GetBlob}, Record{Op: registry.PutUpload}).Table(1)
	require.Contains(t, last, "… 2 requests before these\n")
	require.NotContains(t, last, "get-blob")
	require.Contains(t, last, "put-upload")
}

func TestCheckSequence(t *testing.T) {
	t.Parallel()
	r := recorded(
		Record{Op: registry.HeadManifest}, Record{Op: registry.GetManifest},
		Record{Op: registry.GetBlob, Status: 404}, Record{Op: registry.GetBlob, Status: 200},
	)
	for _, c := range []struct {
		name string
		want []registry.Op
		diff string // "" for no difference
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

// Two servers differ in port, session and time, and the order of concurrent
// requests is not the same in any two runs; their golden form is.
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
	require.Len(t, unsorted.Errors(), 1, "it is sorted only where that is asked for")
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
	require.Empty(t, check("GET /v2/ 200\r\nGET /v2/ 404\r\n"), "as git may have it on Windows")

	got := check("GET /v2/ 200\nGET /v2/ 200\nGET /v2/ 404\n")
	require.Len(t, got, 1)
	require.Contains(t, got[0], file)
	require.Contains(t, got[0], updateEnv)
	require.Contains(t, got[0], "  GET /v2/ 200\n- GET /v2/ 200\n  GET /v2/ 404\n")
	require.Contains(t, check("")[0], "+ GET /v2/ 200\n+ GET /v2/ 404\n")

	tb := faketb.New(t)
	r.CheckGolden(tb, t.TempDir())
	require.Len(t, tb.Errors(), 1, "a directory is no file")

	t.Setenv(updateEnv, "1")
	tb = faketb.New(t)
	r.CheckGolden(tb, file)
	require.Empty(t, tb.Errors())
	t.Setenv(updateEnv, "")
	r.CheckGolden(t, file)
	t.Setenv(updateEnv, "1")
	r.CheckGolden(tb, t.TempDir())
	require.Len(t, tb.Errors(), 1, "what cannot be written is an error")
}
