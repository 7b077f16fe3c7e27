package archive_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/content/archive"
)

func zipped(t testing.TB, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(text)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.Bytes()
}

// ImportFrom reads a plain or compressed archive from a reader. It returns an error if
// the uncompressed archive is larger than the limit.
func TestImportFrom(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(write(t, layoutOf(t, map[string]content.Content{"app:v1": content.Image()})))
	require.NoError(t, err)
	size := int64(len(text))
	for name, open := range stores {
		for _, archived := range [][]byte{text, zipped(t, text)} {
			refs, err := archive.ImportFrom(t.Context(), open(t), bytes.NewReader(archived), size, layout.Repository("team/app"))
			require.NoError(t, err, name)
			require.Equal(t, []string{"team/app:v1"}, refs, name)
			_, err = archive.ImportFrom(t.Context(), open(t), bytes.NewReader(archived), size-1)
			var large *http.MaxBytesError
			require.ErrorAs(t, err, &large, name)
			require.Equal(t, size-1, large.Limit)
		}
	}
	for _, broken := range []string{"", "no archive", "\x1f\x8b", "\x1f\x8bx", string(zipped(t, text)[:100]), string(text[:size/2])} {
		s := memstore.New()
		_, err := archive.ImportFrom(t.Context(), s, strings.NewReader(broken), size)
		require.Error(t, err, "%.20q", broken)
		require.NotContains(t, err.Error(), os.TempDir(), "the error must not name the temporary file")
		for repo := range s.Repositories(t.Context(), "") {
			t.Errorf("a failed import left repository %s", repo)
		}
	}
	_, err = archive.ImportFrom(t.Context(), memstore.New(), bytes.NewReader(make([]byte, 10)), 1<<20)
	require.ErrorContains(t, err, "the archive")
	none, err := os.ReadFile(write(t, fstest.MapFS{"x": {Data: []byte("x")}}))
	require.NoError(t, err)
	_, err = archive.ImportFrom(t.Context(), memstore.New(), bytes.NewReader(none), 1<<20)
	require.ErrorContains(t, err, "importing")
}

// ImportFrom does not panic on arbitrary bytes. If it returns an error, it leaves
// the store unchanged.
func FuzzImportFrom(f *testing.F) {
	f.Add([]byte("\x1f\x8b\x08"))
	f.Add(zipped(f, []byte("x")))
	f.Add(make([]byte, 1024))
	f.Fuzz(func(t *testing.T, archived []byte) {
		s := memstore.New()
		if _, err := archive.ImportFrom(t.Context(), s, bytes.NewReader(archived), 1<<20); err == nil {
			return
		}
		for repo := range s.Repositories(t.Context(), "") {
			t.Errorf("a failed import left repository %s", repo)
		}
	})
}
