package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
)

// writes holds the writes that wait for a layout. The first caller to get the
// lock on the layout, the leader, writes for all that wait.
type writes struct {
	// leading holds a value while there is a leader.
	leading chan struct{}

	mu    sync.Mutex
	queue []*write

	// text is a buffer for index.json.
	text []byte
}

// A write is a change to an index. The leader calls apply while it holds the
// lock on the layout, with a draft of the current index. Apply either changes
// the draft or returns an error. The leader calls after once the new index is
// on disk, or undo, unless that is nil, if the write fails.
type write struct {
	apply func(*draft) (after func() error, err error)
	after func() error
	undo  func()

	done chan struct{} // closed once err is set
	err  error
}

// write makes a change, together with the changes of other callers.
func (l *imageLayout) write(ctx context.Context, apply func(*draft) (after func() error, err error)) error {
	return l.make(ctx, &write{apply: apply})
}

// make makes a change. If ctx ends before the layout can be locked, the change
// is not made.
func (l *imageLayout) make(ctx context.Context, w *write) error {
	w.done = make(chan struct{})
	l.writes.mu.Lock()
	l.writes.queue = append(l.writes.queue, w)
	l.writes.mu.Unlock()
	select {
	case <-w.done:
		return w.err
	case l.writes.leading <- struct{}{}:
		defer func() { <-l.writes.leading }()
	case <-ctx.Done():
		if l.writes.withdraw(w) {
			return fmt.Errorf("waiting to write %s: %w", l.path(indexFile), ctx.Err())
		}
		<-w.done // Another leader is making the change.
		return w.err
	}
	select {
	case <-w.done: // by the leader before
		return w.err
	default:
	}
	unlock, err := l.lock(ctx)
	if err != nil && ctx.Err() != nil && l.writes.withdraw(w) {
		return err
	}
	batch := l.writes.take()
	if err != nil {
		finish(batch, err)
		return err
	}
	defer unlock()
	l.lead(batch)
	return w.err
}

// withdraw removes a write from the queue. It returns false if a leader has
// taken the write.
func (ws *writes) withdraw(w *write) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	i := slices.Index(ws.queue, w)
	if i < 0 {
		return false
	}
	ws.queue = slices.Delete(ws.queue, i, i+1)
	return true
}

// take returns the queue and empties it.
func (ws *writes) take() []*write {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	batch := ws.queue
	ws.queue = nil
	return batch
}

// finish ends the writes that have not failed before with an error, or without
// one.
func finish(batch []*write, err error) {
	for _, w := range batch {
		if w.err == nil {
			w.err = err
		}
		if w.err != nil && w.undo != nil {
			w.undo()
		}
		close(w.done)
	}
}

// lock locks the layout, and creates its directory if necessary. Unlock removes
// the directory again if it has no index.json.
func (l *imageLayout) lock(ctx context.Context) (unlock func(), err error) {
	created := ""
	if l.cur.Load() == nil {
		created = l.disk.firstMissing(l.dir)
	}
	clean := func() {
		if created == "" {
			return
		}
		if _, err := l.disk.root.Lstat(l.path(indexFile)); err == nil {
			return // It is a layout now. A blob is about to be moved to it.
		}
		algorithm := l.path(blobsDir + "/" + string(digest.Canonical))
		for dir := algorithm; l.disk.root.Remove(dir) == nil && dir != l.path(blobsDir); {
			dir = path.Dir(dir)
		}
		for dir := l.dir; l.disk.root.Remove(dir) == nil && dir != created; {
			dir = path.Dir(dir)
		}
	}
	unlocked := func(release func(), locked bool) {
		clean()
		release()
		if !locked {
			clean() // The lock was a file in the directory.
		}
	}
	release, locked, err := l.disk.lock(ctx, l.dir)
	switch {
	case err != nil && ctx.Err() == nil:
		clean()
		return nil, err
	case err != nil:
		// The store that has the lock is about to write to the directories. With
		// a context that has ended, lock does not wait.
		if release, locked, err := l.disk.lock(ctx, l.dir); err == nil {
			unlocked(release, locked)
		}
		return nil, err
	case !locked:
		l.disk.warnUnlocked()
	}
	return func() { unlocked(release, locked) }, nil
}

// firstMissing returns the highest directory on the path of dir that does not
// exist, or "" if dir exists.
func (d *disk) firstMissing(dir string) (missing string) {
	for ; dir != "."; dir = path.Dir(dir) {
		if _, err := d.root.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = dir
	}
	return missing
}

// lead makes the changes of a batch. Files of manifests appear before the index
// that names them, and disappear after the index that does not.
func (l *imageLayout) lead(batch []*write) {
	ended := false
	defer func() {
		if !ended {
			// An apply function has panicked, perhaps that of another caller.
			finish(batch, errors.New("a concurrent write panicked"))
		}
	}()
	err := l.applyAgain(batch)
	if err != nil && len(batch) > 1 {
		// The index may be too large for the disk with all changes, and not
		// with some of them.
		for _, w := range batch {
			w.err = l.applyAlone(w)
		}
		err = nil
	}
	for _, w := range batch {
		if err == nil && w.err == nil && w.after != nil {
			w.err = w.after()
		}
	}
	ended = true
	finish(batch, err)
}

// applyAlone applies and publishes one write.
func (l *imageLayout) applyAlone(w *write) error {
	err := l.applyAgain([]*write{w})
	if err == nil {
		err = w.err
	}
	if err != nil {
		if w.undo != nil {
			w.undo() // The next write may need the space.
		}
		return err
	}
	if after := w.after; after != nil {
		w.after = nil // Before the next write, whose index this one does not know.
		err = after()
	}
	return err
}

// applyAgain applies a batch until no other program has replaced index.json
// meanwhile.
func (l *imageLayout) applyAgain(batch []*write) (err error) {
	for range maxReads {
		if err = l.apply(batch); err != errOverwritten {
			break
		}
	}
	return err
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
		if err := l.disk.mkdirAll(l.path(blobsDir + "/" + string(digest.Canonical))); err != nil {
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
		if err == nil && isNew {
			err = l.writeMarker()
		}
		if err != nil && isNew && read == nil {
			// The directory was no layout before, so no other program uses it.
			l.disk.remove(l.path(markerFile))
			l.disk.remove(l.path(indexFile))
		}
	}
	if err != nil {
		l.disk.remove(temp)
		return err
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
