package registry

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// What is remembered of a manifest stays as long as the registry does: it must
// not be much, and 4 MiB of "{}," become 165.
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
