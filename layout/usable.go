package layout

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/ocireg/registry"
)

// checkUsable returns an error for the client if the directory cannot hold the
// repository: a file has its name, its path leads through a link that cannot be
// followed, or the directory has other repositories in the place of the files of a
// layout. The directory need not exist.
func (d *disk) checkUsable(repo, dir string) error {
	info, err := d.root.Stat(dir)
	switch {
	case err == nil && info.IsDir():
		if err = d.checkFree(dir); err == nil {
			return nil
		}
	case errors.Is(err, fs.ErrNotExist) && !d.leadsNowhere(dir):
		return nil
	case err == nil:
		err = errors.New("there is a file with that name")
	}
	return registry.Errorf(registry.CodeNameInvalid, "repository %s cannot be stored: %v", repo, err)
}

// checkFree returns an error if a directory, which is not a layout, has
// directories of other programs with the names of the files of a layout. If the
// directory became a layout, the repositories there would vanish.
func (d *disk) checkFree(dir string) error {
	for _, name := range []string{markerFile, indexFile, blobsDir} {
		reserved := join(dir, name)
		info, err := d.root.Stat(reserved)
		if err != nil || !info.IsDir() {
			continue
		}
		// A process that was killed may have left an empty directory for blobs.
		visits := maxDirs
		if name != blobsDir || d.hasMarker(reserved) || d.leadsToLayout(reserved, &visits) {
			return fmt.Errorf("the directory %s has repositories of its own", reserved)
		}
	}
	return nil
}
