package registry

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// The registry remembers a parsed manifest only if it is small: parsing 4 MiB of
// "{}," takes 165 MiB of memory.
func TestLargeManifestIsNotRemembered(t *testing.T) {
	t.Parallel()
	h := &handler{}
	parse := func(content string) digest.Digest {
		m := &Manifest{Content: []byte(content), Digest: digest.FromString(content)}
		_, err := h.parse(m)
		require.NoError(t, err)
		return m.Digest
	}
	small := parse(`{"schemaVersion":2}`)
	require.Equal(t, small, h.lastParsed.Load().digest)
	parse(`{"layers":[{}` + strings.Repeat(",{}", maxRemembered/3) + `]}`)
	require.Equal(t, small, h.lastParsed.Load().digest)
}
