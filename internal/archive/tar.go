package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
	"time"
)

// These are the limits for the content of an archive.
const (
	maxEntries = 1 << 18 // entries; also files and directories, since one entry can add several
	maxName    = 4096    // the length of a name in bytes
	maxLinks   = 16      // links that follow one another
)

// A tree holds the files and directories of an archive by their paths.
type tree map[string]*node

// A node is a file or a directory of an archive.
type node struct {
	name     string
	children tree // the files of a directory by their base names, or nil for a file

	// offset is the position of the content in the archive, unless text is the content.
	offset, size int64
	text         []byte

	link string // the path that a link points to, or ""; resolve sets it to ""
}

func (n *node) isDir() bool { return n.children != nil }

// open returns a reader of the content of a file. The argument from is the archive,
// which may hold the content.
func (n *node) open(from io.ReaderAt) *io.SectionReader {
	if n.text != nil {
		return io.NewSectionReader(bytes.NewReader(n.text), 0, n.size)
	}
	return io.NewSectionReader(from, n.offset, n.size)
}

// read adds all entries of a tar archive and resolves its links.
func (t tree) read(from io.ReaderAt, size int64) error {
	t["."] = &node{name: ".", children: tree{}}
	section := io.NewSectionReader(from, 0, size)
	archive := tar.NewReader(section)
	for entries := 0; ; entries++ {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil && entries == 0 {
			return fmt.Errorf("it is not a tar file: %w", err)
		}
		if err != nil {
			return fmt.Errorf("entry %d: %w", entries+1, err)
		}
		if entries == maxEntries {
			return fmt.Errorf("it has more than %d entries", maxEntries)
		}
		offset, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if err := t.add(from, h, offset, size-offset); err != nil {
			return fmt.Errorf("entry %.100q %w", h.Name, err)
		}
	}
	return t.resolve()
}

// add adds an entry of a tar archive. Offset is the position of its content in the
// archive, and left is the number of bytes from there to the end of the archive.
// The text of an error continues a sentence that begins with the name of the entry.
func (t tree) add(from io.ReaderAt, h *tar.Header, offset, left int64) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if len(h.Name) > maxName {
		return fmt.Errorf("has a name of %d bytes, more than %d", len(h.Name), maxName)
	}
	name := path.Clean(h.Name)
	if !fs.ValidPath(name) {
		return errors.New("leads out of the archive")
	}
	n := &node{name: path.Base(name), offset: offset, size: h.Size}
	switch h.Typeflag {
	case tar.TypeDir:
		_, err := t.dir(name)
		return err
	case tar.TypeReg:
		if h.Size > left {
			return fmt.Errorf("has %d bytes, but the archive ends after %d: it is truncated", h.Size, left)
		}
		for key := range h.PAXRecords {
			if strings.HasPrefix(key, "GNU.sparse.") {
				return errors.New("is a sparse file, which archives of images do not have")
			}
		}
	case tar.TypeSymlink:
		n.link, n.size = path.Join(path.Dir(name), h.Linkname), 0
		if path.IsAbs(h.Linkname) {
			n.link = h.Linkname
		}
	case tar.TypeLink:
		n.link, n.size = path.Clean(h.Linkname), 0
	default:
		return fmt.Errorf("is neither a file, a directory nor a link: its type is %q", h.Typeflag)
	}
	if n.link != "" && !fs.ValidPath(n.link) {
		return errors.New("is a link that leads out of the archive")
	}
	old := t[name]
	if old == nil {
		return t.put(name, n)
	}
	if old.isDir() || old.link != n.link || !sameContent(from, old, n) {
		return errors.New("is in the archive twice, with different content")
	}
	return nil
}

// put adds a file to its directory, and creates the directory if necessary.
func (t tree) put(name string, n *node) error {
	parent, err := t.dir(path.Dir(name))
	if err != nil {
		return err
	}
	t[name] = n
	parent.children[n.name] = n
	return nil
}

// dir returns the directory at the path, and creates it if necessary.
func (t tree) dir(name string) (*node, error) {
	if n := t[name]; n != nil {
		if !n.isDir() {
			return nil, fmt.Errorf("is in a directory, but %s is a file", name)
		}
		return n, nil
	}
	if len(t) >= maxEntries {
		return nil, fmt.Errorf("has a path that brings the archive to more than %d files and directories", maxEntries)
	}
	n := &node{name: path.Base(name), children: tree{}}
	return n, t.put(name, n)
}

// sameContent reports whether two files have the same content.
func sameContent(from io.ReaderAt, a, b *node) bool {
	if a.size != b.size {
		return false
	}
	ra, rb := a.open(from), b.open(from)
	var pa, pb [32 << 10]byte
	for {
		n, err := io.ReadFull(ra, pa[:])
		if m, _ := io.ReadFull(rb, pb[:]); !bytes.Equal(pa[:n], pb[:m]) {
			return false
		}
		if err != nil {
			return err == io.EOF || err == io.ErrUnexpectedEOF
		}
	}
}

// resolve gives each link the content of the file that it points to.
func (t tree) resolve() error {
	for name, n := range t {
		if n.link == "" {
			continue
		}
		to := n
		for links := 0; to != nil && to.link != ""; links++ {
			if links == maxLinks {
				return fmt.Errorf("link %.100q leads to more than %d others, or to itself", name, maxLinks)
			}
			to = t[to.link]
		}
		if to == nil || to.isDir() {
			return fmt.Errorf("link %.100q leads to %.100q, which is not a file of the archive", name, n.link)
		}
		n.offset, n.size = to.offset, to.size
	}
	for _, n := range t {
		n.link = ""
	}
	return nil
}

// maxIndex is the size in bytes of the largest index.json of a layout, which
// readers keep in memory. Such a file names about 300,000 manifests.
const maxIndex = 64 << 20

// hasLayout reports whether the archive has an OCI image layout in any directory.
// It returns an error if an index.json is larger than maxIndex.
func (t tree) hasLayout() (found bool, err error) {
	for name, n := range t {
		if n.name != "oci-layout" || n.isDir() {
			continue
		}
		index := t[path.Join(path.Dir(name), "index.json")]
		if index != nil && index.size > maxIndex {
			return true, fmt.Errorf("index.json has %d bytes, more than %d", index.size, maxIndex)
		}
		found = found || index != nil
	}
	return found, nil
}

// An info describes a file or a directory.
type info struct {
	*node
	modTime time.Time
}

func (n *node) info(from *source) info { return info{n, from.modTime()} }

// entries returns the files of a directory in the order of their names.
func (n *node) entries(from *source) []fs.DirEntry {
	modTime := from.modTime()
	list := make([]fs.DirEntry, 0, len(n.children))
	for _, child := range n.children {
		list = append(list, info{child, modTime})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name() < list[j].Name() })
	return list
}

func (i info) Name() string               { return i.name }
func (i info) Size() int64                { return i.size }
func (i info) ModTime() time.Time         { return i.modTime }
func (i info) IsDir() bool                { return i.isDir() }
func (i info) Sys() any                   { return nil }
func (i info) Type() fs.FileMode          { return i.Mode().Type() }
func (i info) Info() (fs.FileInfo, error) { return i, nil }

// Mode returns a mode that permits only reading.
func (i info) Mode() fs.FileMode {
	if i.isDir() {
		return fs.ModeDir | 0o555
	}
	return 0o444
}
