package keep_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/keep"
)

func TestOnFailure(t *testing.T) {
	t.Parallel()
	for _, failing := range []bool{true, false} {
		dir := filepath.Join(t.TempDir(), "kept")
		var app content.Content
		tr := faketb.Try(t, func(tb *faketb.TB) {
			reg := registrytest.NewServer(tb, keep.OnFailure(dir))
			app = reg.Push(tb, "team/app:v1", content.Image())
			resp, err := reg.Client().Get(reg.URL + "/v2/team/app/tags/list")
			require.NoError(t, err)
			resp.Body.Close()
			if failing {
				tb.Errorf("something is wrong")
			}
		})
		found, err := filepath.Glob(filepath.Join(dir, "*"))
		require.NoError(t, err)
		if !failing {
			require.Empty(t, found)
			require.Empty(t, tr.Lines())
			continue
		}
		require.Len(t, found, 1)
		require.Contains(t, tr.Lines()[len(tr.Lines())-1], found[0])
		l, err := layout.Open(found[0])
		require.NoError(t, err)
		content.State{Store: l}.CheckTag(t, "team/app:v1", app)
		require.NoError(t, l.Close())
		_, err = os.Stat(filepath.Join(found[0], "team", "app", "index.json"))
		require.NoError(t, err)
		har, err := os.ReadFile(filepath.Join(found[0], "requests.har"))
		require.NoError(t, err)
		require.Contains(t, string(har), "/v2/team/app/tags/list")
	}
}
