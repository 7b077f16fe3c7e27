package fault_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/fault"
)

// A SyntaxError has the offset of the wrong word, or 0 if the whole rule is wrong.
func TestSyntaxError(t *testing.T) {
	t.Parallel()
	for text, offset := range map[string]int{
		"":                             0,
		"get-blub status=503":          0,
		"  get-blob staus=503":         11,
		"get-blob times=x status=503":  9,
		"get-blob status=503  closs=1": 21,
		"get-blob status=\"503":        9,
		"get-blob times=2":             0,
		"any status=503 close":         0,
	} {
		_, err := fault.Parse(text)
		if text == "get-blob times=2" {
			require.NoError(t, err, "a rule for a gate needs no effect")
			continue
		}
		var syntax *fault.SyntaxError
		require.ErrorAs(t, err, &syntax, text)
		require.Equal(t, text, syntax.Text)
		require.Equal(t, offset, syntax.Offset, text)
		require.Contains(t, err.Error(), syntax.Unwrap().Error())
	}
}
