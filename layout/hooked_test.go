package layout

import (
	"io/fs"
	"os"
	"strings"
	"time"
)

// A hooked is a file system that calls hook before each operation of a store.
// The hook returns the file name to use instead, or an error that the operation
// then returns.
type hooked struct {
	files
	fsys fs.FS
	hook func(op, name string) (string, error)
}

// hook makes the store call f before each operation on the file system. The
// returned function removes the hook.
func hook(s *Store, f func(op, name string) (string, error)) (unhook func()) {
	d := s.disk
	root, fsys, openFile, byPath := d.root, d.FS, d.openFile, d.byPath.Load()
	h := hooked{files: root, fsys: fsys, hook: f}
	d.root, d.FS, d.openFile = h, hookedFS{h}, h.OpenFile
	d.byPath.Store(false)
	return func() {
		d.root, d.FS, d.openFile = root, fsys, openFile
		d.byPath.Store(byPath)
	}
}

// with calls the hook, and then f with the name that the hook returns. If the
// hook fails, with returns that error and does not call f.
func with[T any](h hooked, op, name string, f func(name string) (T, error)) (v T, err error) {
	used, err := h.hook(op, name)
	if err != nil {
		return v, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return f(used)
}

// do is like with, for operations that return only an error.
func (h hooked) do(op, name string, f func(name string) error) error {
	_, err := with(h, op, name, func(name string) (struct{}, error) { return struct{}{}, f(name) })
	return err
}

func (h hooked) Chtimes(name string, atime, mtime time.Time) error {
	return h.do("chtimes", name, func(name string) error { return h.files.Chtimes(name, atime, mtime) })
}

func (h hooked) Link(oldname, newname string) error {
	return h.do("link", oldname, func(oldname string) error {
		return h.do("link to", newname, func(newname string) error { return h.files.Link(oldname, newname) })
	})
}

func (h hooked) Lstat(name string) (fs.FileInfo, error) { return with(h, "lstat", name, h.files.Lstat) }

func (h hooked) Mkdir(name string, perm fs.FileMode) error {
	return h.do("mkdir", name, func(name string) error { return h.files.Mkdir(name, perm) })
}

func (h hooked) MkdirAll(name string, perm fs.FileMode) error {
	return h.do("mkdirall", name, func(name string) error { return h.files.MkdirAll(name, perm) })
}

// Open opens a directory. An open store does so only to sync the directory.
func (h hooked) Open(name string) (*os.File, error) {
	return with(h, "open to sync", name, h.files.Open)
}

func (h hooked) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	op := "open"
	if flag&(os.O_WRONLY|os.O_RDWR) != 0 {
		op = "open to write"
	}
	f, err := with(h, op, name, func(name string) (*os.File, error) { return h.files.OpenFile(name, flag, perm) })
	if err != nil || op == "open" {
		return f, err
	}
	if _, unwritable := h.hook("write", name); unwritable != nil {
		// An open file has no hooks. If the hook refuses writes, the file is opened
		// for reading only, so that each write fails.
		if err := f.Close(); err != nil {
			return nil, err
		}
		return h.files.OpenFile(name, os.O_RDONLY, 0)
	}
	return f, nil
}

func (h hooked) Remove(name string) error { return h.do("remove", name, h.files.Remove) }

func (h hooked) Rename(oldname, newname string) error {
	return h.do("rename", oldname, func(oldname string) error {
		return h.do("rename to", newname, func(newname string) error { return h.files.Rename(oldname, newname) })
	})
}

func (h hooked) Stat(name string) (fs.FileInfo, error) { return with(h, "stat", name, h.files.Stat) }

// A hookedFS is a hooked with the methods of [fs.FS].
type hookedFS struct{ hooked }

func (h hookedFS) Open(name string) (fs.File, error) {
	return with(h.hooked, "open", name, h.fsys.Open)
}

func (h hookedFS) Stat(name string) (fs.FileInfo, error) {
	return with(h.hooked, "stat", name, func(name string) (fs.FileInfo, error) { return fs.Stat(h.fsys, name) })
}

func (h hookedFS) ReadDir(name string) ([]fs.DirEntry, error) {
	return with(h.hooked, "readdir", name, func(name string) ([]fs.DirEntry, error) { return fs.ReadDir(h.fsys, name) })
}

// ignoringCase returns a hook that finds a file by its name in any case, as the
// file systems of Windows and macOS do.
func ignoringCase(fsys fs.FS) func(op, name string) (string, error) {
	return func(_, name string) (string, error) {
		found := "."
		for component := range strings.SplitSeq(name, "/") {
			entries, _ := fs.ReadDir(fsys, found)
			for _, e := range entries {
				if strings.EqualFold(e.Name(), component) {
					component = e.Name()
					break
				}
			}
			found = join(found, component)
		}
		return strings.TrimPrefix(found, "./"), nil
	}
}
