package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/opencontainers/go-digest"
)

// writes are the writes that wait for a layout. Those that wait together are
// written together: whoever gets the lock first writes for all.
type writes struct {
	leading sync.Mutex

	mu    sync.Mutex
	queue []*write

	// text is where the leader puts index.json together.
	text []byte
}

// A write is a change to what a layout names. The leader calls apply, with the
// layout locked against other processes and after it has read what they have
// written. If apply returns an error, it has changed nothing. What it returns
// is called when the change is on the disk.
type write struct {
	apply func(*draft) (after func() error, err error)
	after func() error

	// done and err are guarded by writes.leading.
	done bool
	err  error
}

// write carries out a change, together with those of other callers.
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
				// Something has panicked, and most likely in another's code.
				w.done, w.err = true, errors.New("a write at the same time has panicked")
			}
		}
	}()
	l.lead(batch)
	return w.err
}

// lead carries out the changes of a batch. Blobs are written before the index
// that names them, and removed after the index that does not.
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

// errOverwritten says that another tool has written an index.json since it was
// read.
var errOverwritten = errors.New("another program writes to it again and again")

// apply makes a draft of index.json with the changes of a batch, and publishes
// it. It returns errOverwritten if that would lose a change of another tool,
// which knows no lock; the changes are then to be applied to what that tool has
// written.
func (l *imageLayout) apply(batch []*write) error {
	x, err := l.index()
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
	d.prune()
	if !succeeded || !d.changed && !isNew {
		return nil
	}
	err = l.publish(d.index, isNew, x.file)
	if err != nil && err != errOverwritten {
		err = fmt.Errorf("writing %s: %w", l.path(indexFile), err)
	}
	return err
}

// leftover returns what the index.json says of a directory that is no layout,
// having no oci-layout file. There is none, unless a process was killed while
// it made a layout, or somebody is unpacking one.
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

// publish makes an index the one on the disk, unless that is no longer the one
// that was read, and then the one that is served. A directory becomes a layout
// by its oci-layout file, so that is written last.
func (l *imageLayout) publish(x *index, isNew bool, read fs.FileInfo) error {
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
