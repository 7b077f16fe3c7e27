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

// In a tree, the directory of a repository has the name of the repository. The
// exceptions are components of the name that cannot be the name of a directory:
//
//   - blobs, index.json and oci-layout, which are names in a layout above;
//   - the device names of Windows: con, prn, aux, nul, com0 to com9 and lpt0 to
//     lpt9, with or without an extension.
//
// The directory for such a component has an underscore before its first dot or
// at its end: blobs_, index_.json, nul_.tar. No valid component has an
// underscore there, so the directory name can be decoded. The store also serves
// directories with the plain names, which other programs may have created,
// unless they are part of a layout.
//
// All directories that the store creates have distinct names in lower case, so
// they do not collide where the file system ignores case. On such a file system,
// a directory with capitals, which another program has created, belongs to the
// repository with the name in lower case.

// escape returns the name of the directory for a component of a repository name.
func escape(component string) string {
	if !reserved(component) {
		return component
	}
	base, _, _ := strings.Cut(component, ".")
	return base + "_" + component[len(base):]
}

// unescape returns the component of a repository name that a directory stands
// for, and whether it stands for any.
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
		if isAbsent(err) || d.leadsNowhere(dir) {
			err = nil
		}
		return false, err
	}
	return !info.IsDir(), nil
}

// isAbsent reports whether the error means that no file has the path: the file does
// not exist, the path leads through a file, or a name is too long.
func isAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) || isImpossible(err) }

// leadsNowhere reports whether the path of a directory leads through a symbolic
// link that cannot be followed, such as a link to a place outside the directory
// that was opened.
func (d *disk) leadsNowhere(dir string) bool {
	if d.root == nil {
		return false
	}
	for ; dir != "."; dir = path.Dir(dir) {
		info, err := d.root.Lstat(dir)
		if err == nil && info.Mode()&fs.ModeSymlink != 0 {
			_, err = d.root.Stat(dir)
			return err != nil
		}
	}
	return false
}

// dirFor returns the directory of a repository in a tree. The directory need not
// exist.
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

// isPlain reports whether dir has a directory with the plain name of a reserved
// component, and none with the escaped name, and is not a layout.
func (d *disk) isPlain(dir, component string) (bool, error) {
	if _, err := d.stat(join(dir, escape(component))); err == nil || !isAbsent(err) && !d.leadsNowhere(dir) {
		return false, err
	}
	if info, err := d.stat(join(dir, component)); err != nil || !info.IsDir() {
		return false, nil
	}
	own, err := d.isLayout(dir)
	return !own, err
}

// maxDirs is the number of directories that Open reads to find a layout in a
// tree.
const maxDirs = 10_000

// errFound ends the walk of checkTree at the first layout.
var errFound = errors.New("found")

// checkTree returns an error unless the directory that was opened is a tree: it
// is empty or contains a layout at any depth. Names that begin with a dot do not
// count, except .ocireg, the directory of temporary files, which shows that a
// store was open there before.
func (s *Store) checkTree() error {
	if visits := 8; s.disk.leadsToLayout(".", &visits) {
		return nil
	}
	entries, err := s.disk.readDir(".")
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
	dirs, skipped := 0, errors.New("it is not an OCI image layout and contains none")
	first := true
	w := walker{
		store: s,
		found: func(string) error { return errFound },
		visit: func() error {
			if dirs++; dirs > maxDirs {
				return fmt.Errorf("it is not an OCI image layout, and none was found in the first %d directories below it", maxDirs)
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

// leadsToLayout reports whether it finds, below dir, a layout that can be served.
// It visits at most *visits directories and reads only the beginning of each, one
// entry at a time. Listing and sorting a whole tree of 1,000 layouts would take
// 100 us of CPU time; all of Open and the first GET request take 180 us.
func (d *disk) leadsToLayout(dir string, visits *int) bool {
	const some = 16 // entries of each directory
	f, err := d.openDir(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	for range some {
		entries, err := firstEntries(f, 1)
		if err != nil || len(entries) == 0 {
			return false
		}
		e := entries[0]
		name := join(dir, e.Name())
		if !e.IsDir() || reserved(e.Name()) || !names.Repository(name) {
			continue
		}
		if *visits--; *visits < 0 {
			return false
		}
		if d.hasMarker(name) || d.leadsToLayout(name, visits) {
			return true
		}
	}
	return false
}

// A walker calls found for the repositories of a tree, in the order of their
// names.
type walker struct {
	store *Store
	after string                  // found is not called for names up to this one
	found func(repo string) error // is called for each repository; an error ends the walk
	visit func() error            // is called before each directory is read; an error ends the walk

	// skipped is called for each directory that cannot be read, and for each
	// layout whose path is not a valid repository name. If skipped is nil, a
	// directory that cannot be read is an error.
	skipped func(dir string, err error)
}

// walk visits a directory and all below it. The prefix is the beginning of the
// names of the repositories in the directory.
func (w *walker) walk(dir, prefix string) error {
	if err := w.visit(); err != nil {
		return err
	}
	entries, err := w.store.disk.readDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // Another process has just removed the directory.
	}
	if err != nil {
		if w.skipped == nil {
			return err
		}
		w.skipped(dir, fmt.Errorf("passing over a directory: %w", err))
		return nil
	}

	// Sort a repository and the repositories below it separately: other names may
	// sort between them, since some characters sort before the slash: a, a-b, a/b.
	type place struct {
		name string // the name of a repository or, with a slash at the end, the prefix of all below it
		dir  string
		link bool
	}
	var places []place
	for _, e := range entries {
		entry := e.Name()
		component, ok := unescape(entry)
		if lower := strings.ToLower(entry); !ok && lower != entry && w.store.disk.ignoresCase(dir, e, entries) {
			entry = lower
			component, ok = unescape(entry)
		}
		name := prefix + component
		link := e.Type()&fs.ModeSymlink != 0
		if !e.IsDir() && !link {
			continue
		}
		isImage := w.store.isImage(strings.TrimSuffix(prefix, "/"), dir, entry)
		if !ok || len(name) > names.MaxLength {
			if isImage {
				continue
			}
			if err := w.skip(join(dir, entry)); err != nil {
				return err
			}
			continue
		}
		if entry == component && reserved(component) {
			if plain, err := w.store.disk.isPlain(dir, component); err != nil {
				return err
			} else if !plain {
				continue
			}
		}
		if !isImage {
			places = append(places, place{name, join(dir, entry), link})
		}
		if !link {
			// Do not walk into a link: if it led to a directory above, the walk would
			// not end.
			places = append(places, place{name + "/", join(dir, entry), false})
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
			yes, err := w.store.disk.isLayout(p.dir)
			if err != nil && !p.link && w.skipped == nil {
				return err
			}
			if !yes && err == nil {
				images, _ := w.store.imagesIn(p.name, p.dir)
				yes = len(images) > 0
			}
			if err != nil || !yes {
				continue // If isLayout has failed, the walk into the directory returns the same error.
			}
			if err := w.found(p.name); err != nil {
				return err
			}
		}
	}
	return nil
}

// ignoresCase reports whether the file system finds the entry e also by its name
// in lower case. It returns false if another of the entries has that name.
func (d *disk) ignoresCase(dir string, e fs.DirEntry, entries []fs.DirEntry) bool {
	lower := strings.ToLower(e.Name())
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == lower }) {
		return false
	}
	found, err := d.stat(join(dir, lower))
	if err != nil {
		return false
	}
	info, err := d.stat(join(dir, e.Name()))
	return err == nil && sameFile(info, found)
}

// skip reports a directory whose path cannot be a repository name, if it is a
// layout, or else the layouts below it. It reports nothing in or below a directory
// whose name begins with a dot.
func (w *walker) skip(dir string) error {
	if path.Base(dir)[0] == '.' || w.skipped == nil {
		return nil
	}
	if err := w.visit(); err != nil {
		return err
	}
	if yes, err := w.store.disk.isLayout(dir); err == nil && yes {
		w.skipped(dir, fmt.Errorf("passing over the layout %s: its path is not a valid repository name; rename it, or open it alone", dir))
		return nil
	}
	entries, err := w.store.disk.readDir(dir)
	if err != nil {
		return nil // A directory that cannot be read contains no layout to serve.
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
