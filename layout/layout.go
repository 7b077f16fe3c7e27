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

// An imageLayout is one image layout: a directory with an oci-layout file, or
// one that becomes a layout with the first write.
type imageLayout struct {
	disk *disk

	// dir is the directory, "." if it is the one that was opened.
	dir string

	// name is the repository that an entry without one belongs to. In a tree,
	// it is the repository of all entries.
	name string
	tree bool

	// onlyTag is the tag of an only manifest without one, or "". See [Tag].
	onlyTag string

	// cur is what index.json said when it was last looked at, nil if it never
	// was. Next is what it is going to say: who finds a changed file before cur
	// is set need not read it. Loading is held by who sets cur.
	cur, next atomic.Pointer[index]
	loading   sync.Mutex

	writes writes

	// mu guards what follows, and is held for nothing but a look at it.
	mu    sync.RWMutex
	facts map[digest.Digest]*facts

	// pushed are the blobs that this process has put into the layout, since a
	// manifest that was pushed as a blob too can be deleted as either.
	pushed map[digest.Digest]struct{}

	// named are the repositories that this process has put blobs into. They are
	// repositories before index.json names them.
	named map[string]struct{}

	// verdicts are those on the files of blobs. Verifying has what is closed
	// when there is one.
	verdicts  map[digest.Digest]verdict
	verifying map[digest.Digest]chan struct{}

	// blobs is held by who renames or removes a blob.
	blobs sync.Mutex
}

func newImageLayout(d *disk, dir, name string, tree bool, onlyTag string) *imageLayout {
	return &imageLayout{
		disk: d, dir: dir, name: name, tree: tree, onlyTag: onlyTag,
		pushed:    map[digest.Digest]struct{}{},
		named:     map[string]struct{}{},
		facts:     map[digest.Digest]*facts{},
		verdicts:  map[digest.Digest]verdict{},
		verifying: map[digest.Digest]chan struct{}{},
	}
}

// path returns the name of one of the layout's files.
func (l *imageLayout) path(name string) string {
	if l.dir == "." {
		return name
	}
	return l.dir + "/" + name
}

// resolve returns what an entry that has the reference is called here.
func (l *imageLayout) resolve(r reference) reference {
	if l.tree || r.repo == "" {
		return reference{repo: l.name, tag: r.tag}
	}
	return r
}

// refName returns what parseReference and resolve make the reference of.
func (l *imageLayout) refName(r reference, d digest.Digest) string {
	if l.tree || r.repo == l.name && r.host == "" {
		return r.tag
	}
	return r.String(d)
}

// errNoLayout says that a directory is no layout.
var errNoLayout = fmt.Errorf("no OCI image layout: %w", fs.ErrNotExist)

// checkMarker returns an error unless the directory is a layout of a version
// that is known here.
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

// index returns what index.json says now.
func (l *imageLayout) index() (*index, error) {
	info, err := l.disk.stat(l.path(indexFile))
	if err == nil {
		if x := l.known(info); x != nil {
			return x, nil
		}
	}
	l.loading.Lock()
	defer l.loading.Unlock()
	return l.load()
}

// known returns what is known to be in a file that is as info says, or nil.
func (l *imageLayout) known(info fs.FileInfo) *index {
	if x := l.cur.Load(); x != nil && sameFile(x.file, info) && x.settled.Load() {
		return x
	}
	if x := l.next.Load(); x != nil && sameFile(x.file, info) {
		return x
	}
	return nil
}

// maxReads is how often an index.json is read that makes no sense but has just
// been written. Some tools write it in place, and may not be done.
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

// read reads index.json once. It reports whether the file will not change any
// more without that being seen.
func (l *imageLayout) read() (x *index, isSettled bool, err error) {
	name := l.path(indexFile)
	info, err := l.disk.stat(name)
	if err == nil {
		// Somebody may have read it while this caller waited.
		if x := l.known(info); x != nil {
			return x, true, nil
		}
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
		// It is better to fail now than with the first blob.
		if err := l.disk.checkLinks(l.path(blobsDir + "/" + string(digest.Canonical))); err != nil {
			return nil, true, err
		}
	}
	if missing {
		// A layout in the making, or one that nothing was ever put into.
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
		if x, err = l.parse(text); err != nil {
			return nil, isSettled, err
		}
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
	return d.index, nil
}
