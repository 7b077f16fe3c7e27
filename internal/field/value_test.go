package field

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClean(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"": "", "a": "a", "a b": "a b", "a\tb": "a\tb", "é": "é", "\xff": "\xff",
		"\x00": "", "a\r\nb": "a  b", "a\x7f": "a", " a ": "a", "\x1ba\x00": "a",
	} {
		require.Equal(t, want, Clean(s), "%q", s)
		require.Equal(t, s == want, Valid(s), "%q", s)
		require.True(t, Valid(Clean(s)))
	}
}
