package archive

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest/content"
)

// Export writes the named repositories of a store to w, or all of them if none are
// named, as a tar file. The file contains a tree of OCI image layouts, which
// [Import] and [layout.Open] read, with everything that [content.Copy] reaches.
// Export writes the layouts to a temporary directory first, and nothing to w if
// that fails.
func Export(ctx context.Context, w io.Writer, s registry.Store, repos ...string) error {
	dir, err := os.MkdirTemp("", "export-")
	if err != nil {
		return fmt.Errorf("exporting: %w", err)
	}
	defer os.RemoveAll(dir)
	l, err := layout.Open(dir)
	if err == nil {
		err = content.Copy(ctx, l, s, repos...)
		if closeErr := l.Close(); err == nil {
			err = closeErr
		}
	}
	if err != nil {
		return fmt.Errorf("exporting: %w", err)
	}
	t := tar.NewWriter(w)
	if err := t.AddFS(os.DirFS(dir)); err != nil {
		return fmt.Errorf("exporting: %w", err)
	}
	return t.Close()
}
