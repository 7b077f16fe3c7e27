package layout

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/ocireg/registry/internal/names"
)

// An Option says how a layout is served.
type Option func(*options)

type options struct {
	readOnly   bool
	repository string
	tag        string
	warn       func(error)
}

// ReadOnly makes the store refuse all writes and change nothing on disk. It
// also makes [Open] follow symbolic links wherever they lead, as [OpenFS] does
// with an os.DirFS: the blobs in the layouts of Bazel and Nix are links to files
// elsewhere. Blobs and manifests are verified all the same.
func ReadOnly() Option {
	return func(o *options) { o.readOnly = true }
}

// Repository sets the name of the default repository of a layout, which is
// otherwise that of its directory, made valid: in lower case, and with a hyphen
// for whatever a name may not have. If nothing is left of it, or for [OpenFS],
// it is image. In a tree, Repository has no effect.
func Repository(name string) Option {
	return func(o *options) { o.repository = name }
}

// Tag gives a tag to the manifest of each layout whose index.json names only one
// manifest, and that without a tag, as crane, ko and Bazel write it. The tag is
// written to index.json with the next change.
func Tag(tag string) Option {
	return func(o *options) { o.tag = tag }
}

// Warnings makes the store call f, once for each directory, when it finds a part
// of a tree that it cannot serve: a directory that it cannot read, which
// otherwise is an error of [Store.Repositories], or a layout whose path is no
// name of a repository. It also reports a layout that it writes to without a
// lock, because the file system has none. Several goroutines may call f at once.
func Warnings(f func(error)) Option {
	return func(o *options) { o.warn = f }
}

// Open opens a directory that is a layout or a tree of layouts. If it does not
// exist, the error wraps [fs.ErrNotExist]. It is also an error if the directory
// has a layout that cannot be read, or if it is neither empty nor holds a
// layout.
//
// Unless it is opened read-only, nothing outside of the directory is read or
// written: a symbolic link that leads out of it is an error. A tree has to be on
// one file system.
func Open(dir string, opts ...Option) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	o, err := newOptions(repositoryFor(filepath.Base(dir)), opts)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", dir, err)
	}
	if info, err := os.Stat(dir); err == nil && info.Mode().IsRegular() {
		return nil, fmt.Errorf("opening %s: it is a file and no directory; unpack the archive of a layout (tar -xf FILE -C DIR) and open that", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	d := &disk{FS: root.FS(), root: root, openFile: root.OpenFile, link: root.Link}
	if o.readOnly {
		root.Close()
		d = &disk{FS: os.DirFS(dir), openFile: func(name string, flag int, perm fs.FileMode) (*os.File, error) {
			return os.OpenFile(filepath.Join(dir, filepath.FromSlash(name)), flag, perm)
		}}
	}
	s, err := open(d, o)
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("opening %s: %w", dir, err)
	}
	return s, nil
}

// OpenFS opens a file system that is a layout or a tree of layouts, such as an
// embed.FS or a zip file. It is served read-only.
func OpenFS(fsys fs.FS, opts ...Option) (*Store, error) {
	o, err := newOptions("image", append(slices.Clip(opts), ReadOnly()))
	if err != nil {
		return nil, fmt.Errorf("opening a file system: %w", err)
	}
	s, err := open(&disk{FS: fsys}, o)
	if err != nil {
		return nil, fmt.Errorf("opening a file system: %w", err)
	}
	return s, nil
}

func newOptions(repository string, opts []Option) (*options, error) {
	o := &options{repository: repository}
	for _, opt := range opts {
		opt(o)
	}
	if !names.Repository(o.repository) {
		return nil, fmt.Errorf("%q is no valid name of a repository", o.repository)
	}
	if o.tag != "" && !names.Tag(o.tag) {
		return nil, fmt.Errorf("%q is no valid tag", o.tag)
	}
	return o, nil
}

func open(d *disk, o *options) (*Store, error) {
	s := &Store{disk: d, readOnly: o.readOnly, onlyTag: o.tag, layouts: map[string]*imageLayout{}}
	d.temps = &temps{disk: d}
	if o.warn != nil {
		d.warn = newWarner(o.warn)
	}
	isLayout, err := d.isLayout(".")
	if err != nil {
		return nil, err
	}
	if isLayout {
		s.single = newImageLayout(d, ".", o.repository, false, o.tag)
		_, err = s.single.index()
	} else {
		err = d.checkTree()
	}
	if err == nil && !s.readOnly {
		d.temps.removeStale(time.Now())
	}
	return s, err
}

// newWarner returns a function that calls warn once for each directory.
func newWarner(warn func(error)) func(dir string, err error) {
	var warned sync.Map
	return func(dir string, err error) {
		if _, before := warned.LoadOrStore(dir, nil); !before {
			warn(err)
		}
	}
}
