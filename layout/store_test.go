package layout_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest"
)

// emptyLayout makes a directory that is one layout with nothing in it.
func emptyLayout(t testing.TB) string {
	dir := filepath.Join(t.TempDir(), "app")
	writeFile(t, dir, "oci-layout", `{"imageLayoutVersion":"1.0.0"}`)
	writeFile(t, dir, "index.json", `{"schemaVersion":2,"manifests":[]}`)
	return dir
}

func writeFile(t testing.TB, dir, name, text string) {
	name = filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
}

func open(t testing.TB, dir string, opts ...layout.Option) *layout.Store {
	s, err := layout.Open(dir, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	t.Run("tree", func(t *testing.T) {
		t.Parallel()
		registrytest.TestStore(t, func(t *testing.T) registry.Store { return open(t, t.TempDir()) })
	})
	t.Run("layout", func(t *testing.T) {
		t.Parallel()
		registrytest.TestStore(t, func(t *testing.T) registry.Store { return open(t, emptyLayout(t)) })
	})
}
