package explore

import (
	"io"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
)

const repo = "team/app"

// image is what the client pulls and pushes.
func image() content.Content {
	return content.Image(content.LayerSizes(9000, 100))
}

// An operation is what a client does, for EveryFault.
type operation struct {
	setup func(t *T, reg *registrytest.Server)
	run   func(c *client) func(t *T, reg *registrytest.Server) error
}

func clientOf(reg *registrytest.Server, c client) *client {
	c.http, c.base = reg.Client(), reg.URL
	return &c
}

var pulling = operation{
	setup: func(t *T, reg *registrytest.Server) { reg.Push(t, repo+":v1", image()) },
	run: func(c *client) func(t *T, reg *registrytest.Server) error {
		return func(t *T, reg *registrytest.Server) error {
			got, err := clientOf(reg, *c).pull(t.Context(), repo, "v1")
			for _, name := range slices.Sorted(maps.Keys(got)) {
				t.Result(name, got[name])
			}
			return err
		}
	},
}

var pushing = operation{
	run: func(c *client) func(t *T, reg *registrytest.Server) error {
		return func(t *T, reg *registrytest.Server) error {
			img := image()
			var blobs [][]byte
			for _, b := range append(img.Layers, img.Config) {
				content, err := io.ReadAll(b.Open())
				require.NoError(t, err)
				blobs = append(blobs, content)
			}
			return clientOf(reg, *c).push(t.Context(), repo, "v1", img.MediaType, img.Manifest, blobs...)
		}
	},
}

func TestRightClient(t *testing.T) {
	for name, o := range map[string]operation{"pull": pulling, "push": pushing} {
		t.Run(name, func(t *testing.T) {
			m := EveryFault(t, o.setup, o.run(&client{}))
			require.Empty(t, m.Violations)
		})
	}
}
