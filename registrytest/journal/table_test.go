package journal

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

func TestTable(t *testing.T) {
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

	odd := recorded(Record{User: "\u202eresu\x1b[2J\r\n", Err: errors.New("cause\u2066\n"), URL: &url.URL{Path: "/v2/", RawQuery: strings.Repeat("\u202e", 1<<20)}}).String()
	require.NotRegexp(t, `[\x00-\x09\x0b-\x1f\p{Cf}]`, odd)
	require.Equal(t, 2, strings.Count(odd, "\n"))
	require.Less(t, len(odd), 10_000)

	require.Equal(t, "no requests\n", Requests{}.String())
	many := make([]Record, maxRows)
	require.NotContains(t, recorded(many...).String(), "before these")
	last := recorded(append([]Record{{Op: registry.GetBlob}, {Op: registry.GetBlob}}, many...)...).String()
	require.Contains(t, last, "… 2 requests before these\n")
	require.NotContains(t, last, "get-blob")
	last = recorded(append([]Record{{Op: registry.GetBlob}}, many...)...).String()
	require.Contains(t, last, "… 1 request before these\n")
}
