package archive_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/content/archive"
)

func TestExport(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			app := content.Index(content.Platforms("linux/amd64", "linux/arm64"))
			require.NoError(t, content.Put(t.Context(), s, "team/app:v1", app))
			require.NoError(t, content.Put(t.Context(), s, "tool:v1", content.Image(content.Layers(2))))
			for repos, want := range map[string][]string{"": {"team/app:v1", "tool:v1"}, "tool": {"tool:v1"}} {
				var named []string
				if repos != "" {
					named = append(named, repos)
				}
				var b bytes.Buffer
				require.NoError(t, archive.Export(t.Context(), &b, s, named...))
				file := filepath.Join(t.TempDir(), "export.tar")
				require.NoError(t, os.WriteFile(file, b.Bytes(), 0o600))
				to := memstore.New()
				refs, err := archive.Import(t.Context(), to, file)
				require.NoError(t, err)
				require.Equal(t, want, refs)
			}
			canceled, cancel := context.WithCancel(t.Context())
			cancel()
			var b bytes.Buffer
			require.ErrorIs(t, archive.Export(canceled, &b, s), context.Canceled)
			require.ErrorContains(t, archive.Export(t.Context(), &b, s, "none"), "exporting: ")
			require.Zero(t, b.Len(), "Export must write nothing if it cannot read the store")
			require.ErrorContains(t, archive.Export(t.Context(), noRoom{}, s), "exporting: no room")
		})
	}
}

// noRoom is a writer that always fails.
type noRoom struct{}

func (noRoom) Write([]byte) (int, error) { return 0, errors.New("no room") }
