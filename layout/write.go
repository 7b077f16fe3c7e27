package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/opencontainers/go-digest"
)

// writes holds the writes that wait for a layout. The first caller to get the
// lock writes for all that wait.
type writes struct {
	leading sync.Mutex

	mu    sync.Mutex
	queue []*write

	// text is a buffer for index.json.
	text []byte
}

// A write is a change to an index. The leader calls apply while it holds the
// lock on the layout, with a draft of the current index. Apply either changes
// the draft or returns an error. The leader calls after once the new index is
// on disk.
type write struct {
	apply func(*draft) (after func() error, err error)
	after func() error

	// done and err are guarded by writes.leading.
	done bool
	err  error
}

// write makes a change, together with the changes of other callers.
func (l *imageLayout) write(apply func(*draft) (after func() error, err error)) error {
	w := &write{apply: apply}
	l.writes.mu.Lock()
	l.writes.queue = append(l.writes.queue, w)
	l.writes.mu.Unlock()

	l.writes.leading.Lock()
	defer l.writes.leading.Unlock()
	if w.done {
		return w.err
	}
	l.writes.mu.Lock()
	batch := l.writes.queue
	l.writes.queue = nil
	l.writes.mu.Unlock()
	defer func() {
		for _, w := range batch {
			if !w.done {
				// An apply function has panicked, probably that of another
				// caller.
				w.done, w.err = true, errors.New("a concurrent write panicked")
			}
		}
	}()
	l.lead(batch)
	return w.err
}

// lead makes the changes of a batch. Files of manifests appear before the index
// that names them, and disappear after the index that does not.
func (l *imageLayout) lead(batch []*write) {
	finish := func(err error) {
		for _, w := range batch {
			if w.err == nil {
				w.err = err
			}
			w.done = true
		}
	}
	unlock, locked, err := l.disk.lock(l.dir)
	if err != nil {
		finish(err)
		return
	}
	defer unlock()
	if !locked && l.disk.warn != nil {
		l.disk.warn(l.dir, fmt.Errorf("%s cannot be locked: processes that write to it at the same time may lose each other's tags", l.dir))
	}
	for try := 1; ; try++ {
		err = l.apply(batch)
		if err != errOverwritten || try == maxReads {
			break
		}
	}
	if err != nil {
		finish(err)
		return
	}
	for _, w := range batch {
		if w.err == nil && w.after != nil {
			w.err = w.after()
		}
	}
	finish(nil)
}

// errOverwritten reports that another program has replaced index.json since it
// was read.
var errOverwritten = errors.New("another program keeps replacing index.json")

// apply applies a batch to a draft of index.json and publishes the draft. It
// returns errOverwritten if that would discard the change of a program that
// does not use the lock. The caller then applies the batch again.
func (l *imageLayout) apply(batch []*write) error {
	x, err := l.current()
	isNew := errors.Is(err, errNoLayout)
	if isNew {
		x, err = l.leftover()
	}
	if err != nil {
		return err
	}
	d, succeeded := newDraft(x), false
	for _, w := range batch {
		w.after, w.err = w.apply(d)
		succeeded = succeeded || w.err == nil
	}
	replaced, err := l.tagReferrers(d)
	if err != nil {
		return err
	}
	d.prune()
	if !succeeded || !d.changed && !isNew {
		return nil
	}
	err = l.publish(d, isNew, x.file)
	if err == nil {
		l.removeLists(d.index, replaced)
	}
	if err != nil && err != errOverwritten {
		err = fmt.Errorf("writing %s: %w", l.path(indexFile), err)
	}
	return err
}

// leftover returns the index of a directory without an oci-layout file. There
// is an index.json only if a process was killed while it created the layout, or
// if another program is unpacking one.
func (l *imageLayout) leftover() (*index, error) {
	text, info, err := l.disk.readFile(l.path(indexFile))
	if errors.Is(err, fs.ErrNotExist) {
		text, err = []byte(emptyIndex), nil
	}
	if err != nil {
		return nil, err
	}
	x, err := l.parse(text)
	if err == nil {
		x.file = info
	}
	return x, err
}

// publish writes a draft to disk and makes it current. It returns
// errOverwritten if index.json is no longer the file that was read. It writes
// oci-layout last, because that file makes the directory a layout.
func (l *imageLayout) publish(d *draft, isNew bool, read fs.FileInfo) error {
	x := d.index
	if isNew {
		if err := l.disk.root.MkdirAll(l.path(blobsDir+"/"+string(digest.Canonical)), 0o755); err != nil {
			return err
		}
	}
	l.writes.text = x.encode(l.writes.text[:0])
	temp, err := l.disk.temps.write(l.writes.text)
	if err != nil {
		return err
	}
	info, settled, err := l.disk.temps.settle(temp)
	if err == nil {
		x.file = info
		x.settled.Store(settled)
		if !settled {
			x.text = append([]byte(nil), l.writes.text...)
		}
		if now, err := l.disk.stat(l.path(indexFile)); err == nil && !sameFile(read, now) {
			l.disk.remove(temp)
			return errOverwritten
		}
		l.next.Store(x)
		defer l.next.Store(nil)
		err = l.disk.temps.rename(temp, l.path(indexFile))
	}
	if err != nil {
		l.disk.remove(temp)
		return err
	}
	if isNew {
		if err := l.writeMarker(); err != nil {
			return err
		}
	}
	l.loading.Lock()
	l.cur.Store(x)
	if isMarked(x.file) {
		l.remember(d.added)
	}
	l.loading.Unlock()
	return nil
}

func (l *imageLayout) writeMarker() error {
	temp, err := l.disk.temps.write([]byte(`{"imageLayoutVersion":"1.0.0"}`))
	if err != nil {
		return err
	}
	if err := l.disk.temps.rename(temp, l.path(markerFile)); err != nil {
		l.disk.remove(temp)
		return err
	}
	return nil
}
