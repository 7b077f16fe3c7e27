package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/ocireg/registry/internal/names"
)

// In a tree, the directory of a repository is its name, but for components that
// a directory cannot have:
//
//   - blobs, index.json and oci-layout, which a layout above has itself;
//   - what Windows keeps for devices: con, prn, aux, nul, com0 to com9 and lpt0
//     to lpt9, with or without an extension.
//
// These get an underscore at the end of what is before the first dot: blobs_,
// index_.json, nul_.tar. No component of a repository name has one there, so
// that it can be told what was meant. Others may have written such a directory
// with its plain name; that is served too, unless it is a layout's own.

// escape returns the name of the directory for a component.
func escape(component string) string {
	if !reserved(component) {
		return component
	}
	base, _, _ := strings.Cut(component, ".")
	return base + "_" + component[len(base):]
}

// unescape returns the component that a directory is for, if it is for any.
func unescape(dir string) (component string, ok bool) {
	if names.Component(dir) {
		return dir, true
	}
	base, _, _ := strings.Cut(dir, ".")
	component = strings.TrimSuffix(base, "_") + dir[len(base):]
	return component, names.Component(component) && escape(component) == dir
}

func reserved(component string) bool {
	switch component {
	case blobsDir, indexFile, markerFile:
		return true
	}
	base, _, _ := strings.Cut(component, ".")
	switch len(base) {
	case 3:
		return base == "con" || base == "prn" || base == "aux" || base == "nul"
	case 4:
		return (base[:3] == "com" || base[:3] == "lpt") && '0' <= base[3] && base[3] <= '9'
	}
	return false
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

// isLayout reports whether a directory is a layout.
func (d *disk) isLayout(dir string) (bool, error) {
	info, err := d.stat(join(dir, markerFile))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return false, err
	}
	return !info.IsDir(), nil
}

// dirFor returns the directory of a repository of a tree, which need not be
// there.
func (d *disk) dirFor(repo string) (string, error) {
	dir := "."
	for component := range strings.SplitSeq(repo, "/") {
		name := escape(component)
		if name != component {
			plain, err := d.isPlain(dir, component)
			if err != nil {
				return "", err
			}
			if plain {
				name = component
			}
		}
		dir = join(dir, name)
	}
	return dir, nil
}

// isPlain reports whether a directory has one for a reserved component under
// its plain name and none under the name that this package gives it.
func (d *disk) isPlain(dir, component string) (bool, error) {
	if _, err := d.stat(join(dir, escape(component))); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if info, err := d.stat(join(dir, component)); err != nil || !info.IsDir() {
		return false, nil
	}
	own, err := d.isLayout(dir)
	return !own, err
}

// maxDirs is the number of directories in which Open looks for a layout.
const maxDirs = 10_000

// errFound ends a walk that has found what it was after.
var errFound = errors.New("found")

// checkTree returns an error unless the top is a tree: a directory with a
// layout somewhere below it or with nothing in it at all. What begins with a
// dot is nothing, except the directory that this package makes, which shows
// that there was a tree.
func (d *disk) checkTree() error {
	entries, err := fs.ReadDir(d.FS, ".")
	if err != nil {
		return err
	}
	empty := true
	for _, e := range entries {
		if e.Name() == tempDir {
			return nil
		}
		empty = empty && e.Name()[0] == '.'
	}
	if empty {
		return nil
	}
	dirs, skipped := 0, errors.New("it is no OCI image layout and holds none")
	first := true
	w := walker{
		disk:  d,
		found: func(string) error { return errFound },
		visit: func() error {
			if dirs++; dirs > maxDirs {
				return fmt.Errorf("it is no OCI image layout, and none was found in the first %d directories below it", maxDirs)
			}
			return nil
		},
		skipped: func(_ string, err error) {
			if first {
				skipped = fmt.Errorf("%w that can be served: %w", skipped, err)
			}
			first = false
		},
	}
	switch err := w.walk(".", ""); err {
	case nil:
		return skipped
	case errFound:
		return nil
	default:
		return err
	}
}

// A walker looks for the repositories in a tree, in the order of their names.
type walker struct {
	disk  *disk
	after string                  // the name after which it begins
	found func(repo string) error // is called for each repository
	visit func() error            // is called for each directory before it is read

	// skipped is called, if it is not nil, for each directory that cannot be
	// read and for each layout whose path is no name of a repository.
	skipped func(dir string, err error)
}

// walk walks through a directory. Prefix is what the names of the repositories
// in it begin with. An error ends the walk.
func (w *walker) walk(dir, prefix string) error {
	if err := w.visit(); err != nil {
		return err
	}
	entries, err := fs.ReadDir(w.disk.FS, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // It was just removed.
	}
	if err != nil {
		if w.skipped == nil {
			return err
		}
		w.skipped(dir, fmt.Errorf("passing over a directory: %w", err))
		return nil
	}

	// A repository and those below it need not follow each other, since some
	// characters sort before the slash: a, a-b, a/b.
	type place struct {
		name string // of a repository or, with a slash, of all below it
		dir  string
		link bool
	}
	var places []place
	for _, e := range entries {
		component, ok := unescape(e.Name())
		name := prefix + component
		link := e.Type()&fs.ModeSymlink != 0
		if !e.IsDir() && !link {
			continue
		}
		if !ok || len(name) > names.MaxLength {
			if err := w.skip(join(dir, e.Name())); err != nil {
				return err
			}
			continue
		}
		if e.Name() == component && reserved(component) {
			if plain, err := w.disk.isPlain(dir, component); err != nil {
				return err
			} else if !plain {
				continue
			}
		}
		places = append(places, place{name, join(dir, e.Name()), link})
		if !link {
			// A link may lead upwards, and so in circles.
			places = append(places, place{name + "/", join(dir, e.Name()), false})
		}
	}
	slices.SortFunc(places, func(a, b place) int { return strings.Compare(a.name, b.name) })

	for _, p := range places {
		if strings.HasSuffix(p.name, "/") {
			if p.name < w.after && !strings.HasPrefix(w.after, p.name) {
				continue
			}
			if err := w.walk(p.dir, p.name); err != nil {
				return err
			}
		} else if p.name > w.after {
			yes, err := w.disk.isLayout(p.dir)
			if err != nil && !p.link && w.skipped == nil {
				return err
			}
			if err != nil || !yes {
				continue // Walking through the directory gives the same error.
			}
			if err := w.found(p.name); err != nil {
				return err
			}
		}
	}
	return nil
}

// skip reports the layouts in a directory that is no component of a name.
// Directories whose names begin with a dot are hidden.
func (w *walker) skip(dir string) error {
	if path.Base(dir)[0] == '.' || w.skipped == nil {
		return nil
	}
	if err := w.visit(); err != nil {
		return err
	}
	if yes, err := w.disk.isLayout(dir); err == nil && yes {
		w.skipped(dir, fmt.Errorf("passing over the layout %s: its path is no name of a repository; rename it, or open it alone", dir))
		return nil
	}
	entries, err := fs.ReadDir(w.disk.FS, dir)
	if err != nil {
		return nil // It is nothing that could be served.
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := w.skip(dir + "/" + e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}
