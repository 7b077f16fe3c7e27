package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/ocireg/registry/internal/archive"
	"github.com/ocireg/registry/internal/names"
)

// An Option configures a store.
type Option func(*options)

type options struct {
	readOnly   bool
	repository string
	tag        string
	warn       func(error)

	referrersTags bool
	sync, verify  bool
}

// ReadOnly makes the store refuse all writes and leave the disk unchanged. It
// also makes [Open] follow symbolic links that lead out of the directory, as
// [OpenFS] does with an os.DirFS: the layouts of Bazel and Nix contain links to
// files elsewhere. Verification is the same with and without the option.
func ReadOnly() Option {
	return func(o *options) { o.readOnly = true }
}

// Repository sets the name of the default repository of a layout. Without this
// option, [Open] derives the name from the name of the directory, in lower case
// and with a hyphen for each sequence of invalid characters. The name is "image"
// if no character remains, and for [OpenFS]. Repository has no effect on a tree.
func Repository(name string) Option {
	return func(o *options) { o.repository = name }
}

// Tag gives the tag to the only manifest of a layout if that manifest has no
// tag. Crane, ko and Bazel write such layouts. The next write to the layout adds
// the tag to index.json.
func Tag(tag string) Option {
	return func(o *options) { o.tag = tag }
}

// ReferrersTags makes the store maintain a tag for the referrers of each subject
// (distribution spec, Referrers Tag Schema). Tools such as regctl find referrers in a
// layout only by this tag. Each push or deletion of a manifest with a subject
// updates the tag. The store does not change a tag that a client or another tool
// set.
func ReferrersTags() Option {
	return func(o *options) { o.referrersTags = true }
}

// Sync makes each write wait until the content is on the disk. Acknowledged
// content then survives a power failure, too. Without Sync, the operating system
// decides when to write, and pushes are many times faster.
func Sync() Option {
	return func(o *options) { o.sync = true }
}

// Verify makes the store read and hash a blob or manifest for each request.
// Without Verify, the store does so for each GET request for a manifest. For
// other requests, it does so only the first time, and after the size, the
// modification time or the identity of the file has changed. Verify is for
// directories on disks that are not trusted, or in which other programs overwrite
// files and then restore their modification times.
func Verify() Option {
	return func(o *options) { o.verify = true }
}

// Warnings makes the store call f for problems that do not keep it from serving
// the rest of its content:
//
//   - a directory of a tree that the store cannot read, once for each directory;
//     without Warnings, it is an error of [Store.Repositories];
//   - a layout of a tree whose path is not a valid repository name, once for each;
//   - a file system without locks, once;
//   - a write that has waited a second for another process or store.
//
// Several goroutines may call f at once.
func Warnings(f func(error)) Option {
	return func(o *options) { o.warn = f }
}

// Open opens a directory that is a layout or a tree of layouts, or an archive of
// images. If nothing has that name, the error wraps [fs.ErrNotExist]. Open also
// fails if the directory is a layout that it cannot read, or if the directory is
// not empty and contains no layout.
//
// Unless the store is read-only, it reads and writes only below the directory,
// and a symbolic link to a place outside is an error. A tree must be on one file
// system.
//
// The store of an archive is read-only. Its default repository has the name of
// the file without .tar, .tar.gz or .tgz.
func Open(dir string, opts ...Option) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	o, err := newOptions(repositoryFor(filepath.Base(dir)), opts)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", dir, err)
	}
	root, err := openDirectory(dir)
	if err != nil {
		if info, err := os.Stat(dir); err == nil && info.Mode().IsRegular() {
			return openArchive(dir, opts)
		}
		return nil, err
	}
	d := &disk{FS: directoryFS{root}, root: root, openFile: root.OpenFile}
	if o.readOnly {
		root.Close()
		d = &disk{FS: os.DirFS(dir), openFile: func(name string, flag int, perm fs.FileMode) (*os.File, error) {
			return os.OpenFile(filepath.Join(dir, filepath.FromSlash(name)), flag, perm)
		}}
	}
	// Windows cannot replace a file that was opened by its path, so the store does
	// not look up files by their paths there.
	if d.dir = dir; !o.readOnly && runtime.GOOS != "windows" {
		d.info = root.info
		d.byPath.Store(true)
	}
	root.opening = true
	s, err := open(d, o)
	root.opening = false
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("opening %s: %w", dir, err)
	}
	return s, nil
}

// openArchive opens an archive of images as a read-only store.
func openArchive(name string, opts []Option) (*Store, error) {
	o, err := newOptions(repositoryFor(archive.TrimName(filepath.Base(name))), append(slices.Clip(opts), ReadOnly()))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", name, err)
	}
	files, err := archive.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", name, err)
	}
	s, err := open(&disk{FS: files, archive: files}, o)
	if err != nil {
		files.Close()
		return nil, fmt.Errorf("opening %s: %w", name, err)
	}
	return s, nil
}

// OpenFS opens a file system that is a layout or a tree of layouts, such as an
// embed.FS or a zip file. The store is read-only.
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
		if opt == nil {
			return nil, errors.New("an option is nil; leave it out")
		}
		opt(o)
	}
	if !names.Repository(o.repository) {
		return nil, fmt.Errorf("%q is not a valid repository name", o.repository)
	}
	if o.tag != "" && !names.Tag(o.tag) {
		return nil, fmt.Errorf("%q is not a valid tag", o.tag)
	}
	return o, nil
}

func open(d *disk, o *options) (*Store, error) {
	s := &Store{disk: d, readOnly: o.readOnly, onlyTag: o.tag, referrersTags: o.referrersTags, layouts: map[string]*imageLayout{}, images: map[string]*imageLayout{}}
	d.temps = &temps{disk: d}
	d.sync, d.verify = o.sync, o.verify
	if o.warn != nil {
		d.tell, d.warn = o.warn, newWarner(o.warn)
	}
	isLayout, err := d.isLayout(".")
	if err != nil {
		return nil, err
	}
	if isLayout {
		s.single = newImageLayout(d, ".", o.repository, false, o.tag)
		s.single.referrersTags = o.referrersTags
		_, err = s.single.index()
	} else {
		err = s.checkTree()
	}
	if err == nil && !s.readOnly {
		d.temps.removeStale(time.Now())
		if d.warn != nil && !d.hasLocks() {
			d.warnUnlocked()
		}
	}
	return s, err
}

// newWarner returns a function that passes the first error for each directory to
// warn and drops later ones.
func newWarner(warn func(error)) func(dir string, err error) {
	var warned sync.Map
	return func(dir string, err error) {
		if _, before := warned.LoadOrStore(dir, nil); !before {
			warn(err)
		}
	}
}
