package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
)

// An imageLayout is one image layout: a directory with an oci-layout file, or a
// directory that the first write turns into one.
type imageLayout struct {
	disk *disk

	// dir is the directory of the layout, "." for the directory that was
	// opened.
	dir string

	// name is the repository of entries that name none. In a tree, it is the
	// repository of all entries.
	name string
	tree bool

	// onlyTag is the tag for the only manifest of a layout, or "". See [Tag].
	onlyTag string

	// referrersTags is set by [ReferrersTags].
	referrersTags bool

	// cur is the index that was read or written last, or nil. Next is the index
	// of a write that is about to finish: a reader that finds the new file
	// before cur is set uses next instead of reading the file. Loading is held
	// while cur is replaced.
	cur, next atomic.Pointer[index]
	loading   sync.Mutex

	// changes holds the latest changes, oldest first. It is guarded by loading.
	changes []change

	writes writes

	// changing is the number of calls that may create the layout. It is guarded
	// by the mutex of the store.
	changing int

	// mu guards the fields below. It is held only to look them up or set them.
	mu    sync.RWMutex
	facts map[manifestID]*facts

	// pushed holds the blobs that this process has put into the layout. A
	// manifest that was pushed as a blob too can be read and deleted as both.
	pushed map[digest.Digest]struct{}

	// verdicts holds the results for verified files. Verifying has a channel
	// for each file that is being verified, which is closed at the end.
	verdicts  map[digest.Digest]verdict
	verifying map[digest.Digest]chan struct{}

	// blobs is held while the file of a blob is renamed or removed.
	blobs sync.Mutex
}

func newImageLayout(d *disk, dir, name string, tree bool, onlyTag string) *imageLayout {
	return &imageLayout{
		disk: d, dir: dir, name: name, tree: tree, onlyTag: onlyTag,
		writes:    writes{leading: make(chan struct{}, 1)},
		pushed:    map[digest.Digest]struct{}{},
		facts:     map[manifestID]*facts{},
		verdicts:  map[digest.Digest]verdict{},
		verifying: map[digest.Digest]chan struct{}{},
	}
}

// path returns the name of a file of the layout.
func (l *imageLayout) path(name string) string {
	if l.dir == "." {
		return name
	}
	return l.dir + "/" + name
}

// resolve returns the repository and tag of an entry with the reference.
func (l *imageLayout) resolve(r reference) reference {
	if l.tree || r.repo == "" {
		return reference{repo: l.name, tag: r.tag}
	}
	return r
}

// refName returns the name for an entry, from which parseReference and resolve
// restore the reference.
func (l *imageLayout) refName(r reference, d digest.Digest) string {
	if l.tree || r.repo == l.name && r.host == "" {
		return r.tag
	}
	return r.String(d)
}

// errNoLayout reports that a directory is not a layout.
var errNoLayout = fmt.Errorf("not an OCI image layout: %w", fs.ErrNotExist)

// checkMarker returns an error unless the directory has an oci-layout file of a
// known version.
func (l *imageLayout) checkMarker() error {
	name := l.path(markerFile)
	text, _, err := l.disk.readFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", l.dir, errNoLayout)
	}
	if err != nil {
		return err
	}
	var marker struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(text, &marker); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if !strings.HasPrefix(marker.Version, "1.") {
		return fmt.Errorf("%s: imageLayoutVersion is %.40q, not 1.0.0", name, marker.Version)
	}
	return nil
}

// index returns the current index. It first restores entries that another tool
// has overwritten.
func (l *imageLayout) index() (*index, error) {
	x, err := l.current()
	if err == nil && x.merged {
		l.mend()
		return l.current()
	}
	return x, err
}

// current returns the current index.
func (l *imageLayout) current() (*index, error) {
	if x := l.unchanged(); x != nil {
		return x, nil
	}
	if x := l.known(); x != nil {
		return x, nil
	}
	l.loading.Lock()
	defer l.loading.Unlock()
	return l.load()
}

// unchanged returns the index that was read or written last, if its file is
// unchanged since, or nil.
func (l *imageLayout) unchanged() *index {
	if x := l.cur.Load(); x != nil && x.settled.Load() && l.disk.unchanged(l.path(indexFile), x.file) {
		return x
	}
	return nil
}

// known returns the index that is known to be in the file, or nil.
func (l *imageLayout) known() *index {
	if l.cur.Load() == nil && l.next.Load() == nil {
		return nil
	}
	info, err := l.disk.stat(l.path(indexFile))
	if err != nil {
		return nil
	}
	if x := l.cur.Load(); x != nil && sameFile(x.file, info) && x.settled.Load() {
		return x
	}
	if x := l.next.Load(); x != nil && sameFile(x.file, info) {
		return x
	}
	return nil
}

// maxReads is the number of attempts to read an index.json that has just been
// written and is invalid: some tools write the file in place and may not have
// finished.
const maxReads = 10

// load reads index.json. The caller holds l.loading.
func (l *imageLayout) load() (*index, error) {
	for try := 1; ; try++ {
		x, settled, err := l.read()
		if err == nil || settled || try == maxReads {
			return x, err
		}
		time.Sleep(clockStep / maxReads)
	}
}

// read reads index.json once. It reports whether any later change to the file
// can be detected.
func (l *imageLayout) read() (x *index, isSettled bool, err error) {
	name := l.path(indexFile)
	// Another goroutine may have read it in the meantime.
	if x := l.known(); x != nil {
		return x, true, nil
	}
	now := time.Now()
	text, info, err := l.disk.readFile(name)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return nil, true, err
	}
	if err := l.checkMarker(); err != nil {
		return nil, true, err
	}
	x = l.cur.Load()
	if x == nil {
		// Fail now, and not with the first blob.
		if err := l.disk.checkLinks(l.path(blobsDir + "/" + string(digest.Canonical))); err != nil {
			return nil, true, err
		}
	}
	if missing {
		// The layout is being created, or is still empty.
		if x == nil || x.file != nil {
			if x, err = l.parse([]byte(emptyIndex)); err != nil {
				return nil, true, err
			}
			l.cur.Store(x)
		}
		return x, true, nil
	}
	isSettled = settled(info, now)
	if x == nil || !sameFile(x.file, info) || !bytes.Equal(x.text, text) {
		cur := x
		if x, err = l.parse(text); err != nil {
			return nil, isSettled, err
		}
		x = l.merge(cur, x, info)
		x.file, x.text = info, text
		l.cur.Store(x)
	}
	if isSettled {
		x.settled.Store(true)
	}
	return x, isSettled, nil
}

func (l *imageLayout) parse(text []byte) (*index, error) {
	x, err := parseIndex(l, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.path(indexFile), err)
	}
	if l.onlyTag == "" || len(x.entries) != 1 {
		return x, nil
	}
	e := x.entries[0]
	if e.digest == "" || e.tag != "" || e.attached {
		return x, nil
	}
	ref := e.reference
	ref.tag = l.onlyTag
	d := newDraft(x)
	d.replace(e, e.renamed(ref, l.refName(ref, e.digest)))
	d.given = true
	return d.index, nil
}
