package link

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNext(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		values []string
		target string
	}{
		{nil, ""},
		{[]string{""}, ""},
		{[]string{`</v2/app/tags/list?last=v1>; rel="next"`}, "/v2/app/tags/list?last=v1"},
		{[]string{`<?last=v1>;rel=next`}, "?last=v1"},
		{[]string{` <a> ; REL = "NEXT" `}, "a"},
		{[]string{`<a>; rel="first next"`}, "a"},
		{[]string{`<a,b;c>; title="x, <y>; rel=\"z\""; rel=next`}, "a,b;c"},
		{[]string{`<a>; rel="first", <b>; rel="next", <c>; rel="next"`}, "b"},
		{[]string{`<a>; rel=first`, `<b>; rel=next`}, "b"},
		{[]string{`<a>; rel=prev; rel=next`}, ""},
		{[]string{`<a>`}, ""},
		{[]string{`<a>; title="next"`}, ""},
		{[]string{`<a>; next`}, ""},
		{[]string{`<a>;; rel=next;,`}, "a"},
		{[]string{`<>; rel=next`}, ""},
	} {
		target, err := Next(tt.values)
		require.NoError(t, err, "%q", tt.values)
		require.Equal(t, tt.target, target, "%q", tt.values)
	}
	for _, malformed := range []string{
		"a", "/a; rel=next", "<a", "<a> b", `<a>; rel="next`, `<a>; rel="next\`, `<a>; =next`, `<a>; rel=`, `<a>; "rel"=next`, `<a>; rel=next <b>`,
		`<a>; rel=next, b`,
	} {
		_, err := Next([]string{malformed})
		require.ErrorContains(t, err, "malformed Link header", malformed)
	}
}

func FuzzNext(f *testing.F) {
	f.Add(`</a?b=c>; rel="next", <d>; title="e\"f"`)
	f.Fuzz(func(t *testing.T, value string) {
		target, err := Next([]string{value})
		if err != nil {
			require.Empty(t, target)
		}
		require.NotContains(t, target, ">")
		require.True(t, strings.Contains(value, target))
	})
}
