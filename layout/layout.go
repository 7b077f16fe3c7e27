package layout

import (
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

	// dir is the directory of the layout, or "." if the layout is the directory
	// that was opened.
	dir string

	// name is the repository of entries that name no repository. In a tree, it is
	// the repository of all entries.
	name string
	tree bool

	// onlyTag is the tag to give to a manifest that is the only one and has no
	// tag, or "". See [Tag].
	onlyTag string

	// referrersTags reports whether the option [ReferrersTags] is set.
	referrersTags bool

	// cur is the index that was read or written last, or nil. While a write
	// finishes, next is its index: a reader that finds the new file before cur is
	// set uses next instead of reading the file. The mutex loading is held while
	// cur is replaced.
	cur, next atomic.Pointer[index]
	loading   sync.Mutex

	// changes holds the latest changes to index.json, oldest first. The mutex
	// loading guards it.
	changes []change

	writes writes

	// changing is the number of calls that may create the layout. The mutex of the
	// store guards it.
	changing int

	// mu guards facts, pushed, verdicts and verifying. It is held only to read or
	// set them.
	mu    sync.RWMutex
	facts map[manifestID]*facts

	// pushed holds the blobs that this store put into the layout. It tells
	// whether a manifest was also pushed as a blob, and can be read and deleted as
	// a blob.
	pushed map[digest.Digest]struct{}

	// verdicts holds the result for each verified file. For each file that is
	// being verified, verifying holds a channel, which is closed when the result
	// is known.
	verdicts  map[digest.Digest]verdict
	verifying map[digest.Digest]chan struct{}

	// blobs is held while the file of a blob is put in its place, and while the
	// file of a blob or manifest is removed.
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

// path returns the path of a file of the layout, relative to the directory that
// was opened.
func (l *imageLayout) path(name string) string {
	if l.dir == "." {
		return name
	}
	return l.dir + "/" + name
}

// resolve returns the repository and tag of an entry whose name is r. If r has no
// repository, or the layout is in a tree, the repository is l.name.
func (l *imageLayout) resolve(r reference) reference {
	if l.tree || r.repo == "" {
		return reference{repo: l.name, tag: r.tag}
	}
	return r
}

// refName returns the name to write for an entry with the reference r. Reading
// the name with parseReference and resolve returns the same repository and tag.
func (l *imageLayout) refName(r reference, d digest.Digest) string {
	if l.tree || r.repo == l.name && r.host == "" {
		return r.tag
	}
	return r.String(d)
}

// errNoLayout reports that a directory is not a layout.
var errNoLayout = fmt.Errorf("not an OCI image layout: %w", fs.ErrNotExist)

// checkMarker returns an error unless the layout has an oci-layout file of a
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
	if err := json.Unmarshal([]byte(text), &marker); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if !strings.HasPrefix(marker.Version, "1.") {
		return fmt.Errorf("%s: imageLayoutVersion is %.40q, not 1.0.0", name, marker.Version)
	}
	return nil
}

// index returns the current index. If another tool has overwritten entries of
// index.json, index adds them again first.
func (l *imageLayout) index() (*index, error) {
	x, err := l.current()
	if err == nil && x.merged {
		l.mend()
		return l.current()
	}
	return x, err
}

// current returns the index for the present content of index.json. It reads the
// file if it has changed.
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

// unchanged returns the index that was read or written last if index.json has
// not changed since then, and nil otherwise.
func (l *imageLayout) unchanged() *index {
	if x := l.cur.Load(); x != nil && x.settled.Load() && l.disk.unchanged(l.path(indexFile), x.file) {
		return x
	}
	return nil
}

// known returns the index that the store read from or wrote to the present
// index.json, or nil if it must read the file.
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

// maxReads is the number of attempts to read an index.json that is invalid and
// new: a tool that writes the file in place may still be writing it.
const maxReads = 10

// load reads index.json, and tries again while another tool may still be writing
// it. The caller holds l.loading.
func (l *imageLayout) load() (*index, error) {
	for try := 1; ; try++ {
		x, settled, err := l.read()
		if err == nil || settled || try == maxReads {
			return x, err
		}
		time.Sleep(clockStep / maxReads)
	}
}

// read reads index.json once. The result isSettled is whether any later change
// to the file can be detected. The caller holds l.loading, unless no other
// goroutine can use the layout yet.
func (l *imageLayout) read() (x *index, isSettled bool, err error) {
	name := l.path(indexFile)
	// Another goroutine may have read index.json before this one got the lock.
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
	if x == nil && !l.tree {
		// Report unusable links when the layout is opened, and not when a client
		// requests the first blob. A layout in a tree is not opened before the first
		// request for it. There, checkLinks would take a tenth of the CPU time of Open
		// and that request.
		if err := l.disk.checkLinks(l.path(blobsDir + "/" + string(digest.Canonical))); err != nil {
			return nil, true, err
		}
	}
	if missing {
		// Another process is creating the layout, or the layout is empty.
		if x == nil || x.file != nil {
			if x, err = l.parse(emptyIndex); err != nil {
				return nil, true, err
			}
			l.cur.Store(x)
		}
		return x, true, nil
	}
	isSettled = settled(info, now)
	if x == nil || !sameFile(x.file, info) || x.text != text {
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

func (l *imageLayout) parse(text string) (*index, error) {
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
	ref := e.reference()
	ref.tag = l.onlyTag
	d := newDraft(x)
	d.replace(e, e.renamed(ref, l.refName(ref, e.digest)))
	d.given = true
	return d.index, nil
}
