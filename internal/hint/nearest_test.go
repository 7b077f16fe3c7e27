package hint_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/hint"
)

func TestNearest(t *testing.T) {
	words := []string{"get-blob", "head-blob", "status", "reset", "html", "ping"}
	for misspelt, want := range map[string]string{
		"get-blbo":                "get-blob",
		"gte-blob":                "get-blob",
		"getblob":                 "get-blob",
		"stauts":                  "status",
		"htlm":                    "html",
		"rest":                    "reset",
		"resets":                  "reset",
		"pong":                    "ping",
		"GetBlob":                 "get-blob",
		"headBlob":                "head-blob",
		"HeadBlbo":                "head-blob",
		"Ping":                    "ping",
		"HTML":                    "html",
		"pang!":                   "",
		"explode":                 "",
		"":                        "",
		"x":                       "",
		strings.Repeat("x", 1000): "",
	} {
		require.Equal(t, want, hint.Nearest(misspelt, words...), misspelt)
	}
	require.Empty(t, hint.Nearest("x"))
}
