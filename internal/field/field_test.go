package field

import (
	"math"
	"math/big"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestChunkRange(t *testing.T) {
	t.Parallel()
	for s, want := range map[string][2]int64{
		"0-0":                   {0, 0},
		"0-9":                   {0, 9},
		"10-19":                 {10, 19},
		"2-0":                   {2, 0},
		"007-008":               {7, 8},
		"007-08":                {7, 8},
		"0-9223372036854775807": {0, math.MaxInt64},
		"5-9223372036854775807": {5, math.MaxInt64},
	} {
		first, last, ok := ChunkRange(s)
		require.True(t, ok, s)
		require.Equal(t, want, [2]int64{first, last}, s)
	}
	for _, s := range []string{
		"", "-", "0", "0-", "-0", "1", "1-", "-1", "0--1", "+0-1", "0-+1", " 0-1", "0-1 ", "0 - 1", "0 -1", "0-1-2", "0x0-1", "1_0-2_0", "0_0-1",
		"bytes 0-1/2", "bytes=0-1", "0-1/2", "0-9223372036854775808", "9223372036854775808-5", "18446744073709551615-1",
	} {
		_, _, ok := ChunkRange(s)
		require.False(t, ok, "%q", s)
	}
}

func TestNextLink(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fields []string
		want   string
	}{
		{nil, ""},
		{[]string{`</v2/_catalog?n=1&last=a>; rel="next"`}, "/v2/_catalog?n=1&last=a"},
		{[]string{`</a>;rel=next`}, "/a"},
		{[]string{` </a> ; REL = "NEXT" `}, "/a"},
		{[]string{`</a>; rel="last next"`}, "/a"},
		{[]string{`</a>; title="a, b; rel=next"; rel=next`}, "/a"},
		{[]string{`</a,b>; rel="next"`}, "/a,b"},
		{[]string{`</a>; rel="prev", </b>; rel="next"; title="\"x\"", </c>; rel=next`}, "/b"},
		{[]string{`</a>; rel=prev`, `</b>; rel=next`}, "/b"},
		{[]string{`</a>; rel=prev; rel=next`}, ""},
		{[]string{`</a>; rel="nextpage"`}, ""},
		{[]string{`</a>; crossorigin; rel="next"`}, "/a"},
		{[]string{`<>; rel="next"`}, ""},
	} {
		target, err := NextLink(http.Header{"Link": c.fields})
		require.NoError(t, err, c.fields)
		require.Equal(t, c.want, target, c.fields)
	}
	for _, s := range []string{"", "/a", "/a; rel=next", "</a; rel=next", "</a>", `</a>; title="next"`, `</a>; rel`, `</a> rel=next`, `</a>; rel="next" x`, `</a>; rel=next, /b`} {
		_, err := NextLink(http.Header{"Link": {s}})
		require.ErrorContains(t, err, "Link is "+strconv.Quote(s), s)
	}
}

func FuzzNextLink(f *testing.F) {
	f.Add(`</a>; rel="next"`)
	f.Add(`</a>;x="\",";rel=prev,</b>;rel=next`)
	f.Fuzz(func(t *testing.T, s string) {
		target, err := NextLink(http.Header{"Link": {s}})
		if err == nil && target != "" && !strings.Contains(s, "<"+target+">") {
			t.Fatalf("NextLink(%q) = %q, which is not between < and >", s, target)
		}
	})
}

// FuzzChunkRange compares ChunkRange with a regular expression for <first>-<last>,
// the form of the distribution spec, with numbers of at most 63 bits.
func FuzzChunkRange(f *testing.F) {
	for _, s := range []string{"0-1", "9-8", "+0-1", "0-", "-0", "007-08", "0-9223372036854775807", "9223372036854775808-5", "0-1/2", "1_0-2", "\xff-1", "\u0660-1"} {
		f.Add(s)
	}
	form := regexp.MustCompile(`^([0-9]+)-([0-9]+)$`)
	f.Fuzz(func(t *testing.T, s string) {
		first, last, ok := ChunkRange(s)
		m := form.FindStringSubmatch(s)
		if m == nil {
			require.False(t, ok, "%q", s)
			return
		}
		a, _ := new(big.Int).SetString(m[1], 10)
		b, _ := new(big.Int).SetString(m[2], 10)
		require.Equal(t, a.IsInt64() && b.IsInt64(), ok, "%q", s)
		if ok {
			require.Equal(t, [2]int64{a.Int64(), b.Int64()}, [2]int64{first, last}, "%q", s)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Time{
		"0":                             end,
		"120":                           end.Add(2 * time.Minute),
		"Mon, 30 Nov 2026 12:00:03 GMT": end.Add(3 * time.Second),
		"":                              {},
		"soon":                          {},
		"1.5":                           {},
	} {
		until, ok := RetryAfter(value, end)
		require.Equal(t, !want.IsZero(), ok, value)
		require.True(t, want.Equal(until), value)
	}
}
