package layout

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"
)

// files has the methods of [os.Root] that a disk calls. Tests replace some of
// them to inject errors.
type files interface {
	Chtimes(name string, atime, mtime time.Time) error
	Close() error
	Link(oldname, newname string) error
	Lstat(name string) (fs.FileInfo, error)
	Mkdir(name string, perm fs.FileMode) error
	MkdirAll(name string, perm fs.FileMode) error
	Name() string
	Open(name string) (*os.File, error)
	OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error)
	Remove(name string) error
	Rename(oldname, newname string) error
	Stat(name string) (fs.FileInfo, error)
}

// A directory is an [os.Root] that opens its directory again if the directory
// was removed and created again.
type directory struct {
	name string

	// opening is set while Open runs. The directory is then the one that Open has
	// just found, so the method do does not look for another.
	opening bool

	// mu guards root and info.
	mu   sync.RWMutex
	root *os.Root
	info fs.FileInfo
}

func openDirectory(name string) (*directory, error) {
	// OpenRoot waits for a writer if the name is that of a named pipe.
	if info, err := os.Stat(name); err == nil && !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("neither a directory nor an archive")}
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err != nil {
		root.Close()
		return nil, err
	}
	return &directory{name: name, root: root, info: info}, nil
}

// do calls f with the root. If f does not find a file because the directory was
// replaced by another, do calls f with the root of the new directory.
func (d *directory) do(f func(*os.Root) error) error {
	d.mu.RLock()
	root := d.root
	d.mu.RUnlock()
	err := f(root)
	if errors.Is(err, fs.ErrNotExist) && !d.opening {
		if again := d.again(); again != root {
			return f(again)
		}
	}
	return err
}

// again returns the root of the directory that now has the name, if the
// directory of the current root was removed. If the directory was moved, again
// returns the current root, which stays open.
func (d *directory) again() *os.Root {
	now, err := os.Stat(d.name)
	d.mu.RLock()
	root, same := d.root, err != nil || os.SameFile(now, d.info)
	d.mu.RUnlock()
	if same {
		return root
	}
	if info, err := root.Stat("."); err == nil && !isRemoved(info) {
		return root
	}
	next, err := openDirectory(d.name)
	if err != nil {
		return root
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.root != root {
		next.root.Close()
		return d.root
	}
	// Do not close the previous root, since running calls may use it. Its
	// finalizer closes it.
	d.root, d.info = next.root, next.info
	return d.root
}

// Close closes the current root.
func (d *directory) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.root.Close()
}

// find is like the method do, for a function f that also returns a value.
func find[T any](d *directory, f func(*os.Root) (T, error)) (v T, err error) {
	err = d.do(func(root *os.Root) error {
		v, err = f(root)
		return err
	})
	return v, err
}

func (d *directory) Chtimes(name string, atime, mtime time.Time) error {
	return d.do(func(root *os.Root) error { return root.Chtimes(name, atime, mtime) })
}

func (d *directory) Link(oldname, newname string) error {
	return d.do(func(root *os.Root) error { return root.Link(oldname, newname) })
}

func (d *directory) Lstat(name string) (fs.FileInfo, error) {
	return find(d, func(root *os.Root) (fs.FileInfo, error) { return root.Lstat(name) })
}

func (d *directory) Mkdir(name string, perm fs.FileMode) error {
	return d.do(func(root *os.Root) error { return root.Mkdir(name, perm) })
}

func (d *directory) MkdirAll(name string, perm fs.FileMode) error {
	return d.do(func(root *os.Root) error { return root.MkdirAll(name, perm) })
}

func (d *directory) Name() string { return d.name }

func (d *directory) Open(name string) (*os.File, error) {
	return find(d, func(root *os.Root) (*os.File, error) { return root.Open(name) })
}

func (d *directory) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return find(d, func(root *os.Root) (*os.File, error) { return root.OpenFile(name, flag, perm) })
}

func (d *directory) Remove(name string) error {
	return d.do(func(root *os.Root) error { return root.Remove(name) })
}

func (d *directory) Rename(oldname, newname string) error {
	return d.do(func(root *os.Root) error { return root.Rename(oldname, newname) })
}

func (d *directory) Stat(name string) (fs.FileInfo, error) {
	return find(d, func(root *os.Root) (fs.FileInfo, error) { return root.Stat(name) })
}

// A directoryFS is a directory with the methods of [fs.FS].
type directoryFS struct{ *directory }

func (d directoryFS) Open(name string) (fs.File, error) {
	return find(d.directory, func(root *os.Root) (fs.File, error) { return root.FS().Open(name) })
}

func (d directoryFS) ReadDir(name string) ([]fs.DirEntry, error) {
	return find(d.directory, func(root *os.Root) ([]fs.DirEntry, error) { return fs.ReadDir(root.FS(), name) })
}

func (d directoryFS) Stat(name string) (fs.FileInfo, error) {
	return find(d.directory, func(root *os.Root) (fs.FileInfo, error) { return root.Stat(name) })
}
