//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package layout_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// To open a named pipe waits for somebody who writes to it: what is in the
// place of a manifest is replaced without that.
func TestManifestReplacesWhatIsNoFile(t *testing.T) {
	t.Parallel()
	dir := emptyLayout(t)
	s := open(t, dir)
	m := smallImage(0)
	put(t, s, "app", 0, "v1")
	file := filepath.Join(dir, "blobs", "sha256", m.Digest.Encoded())
	require.NoError(t, os.Remove(file))
	require.NoError(t, syscall.Mkfifo(file, 0o644))
	put(t, s, "app", 0, "v2")
	wantManifest(t, s, "app", "v2", imageType, m.Digest)
}
