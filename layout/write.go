package layout

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
)

// writes holds the writes that wait for a layout. The first caller that gets the
// lock on the layout, the leader, makes all waiting writes in one batch.
type writes struct {
	// leading holds a value while a caller is the leader.
	leading chan struct{}

	mu    sync.Mutex // guards queue
	queue []*write

	// buffer is the buffer through which the leader writes index.json. Batches
	// reuse it.
	buffer *bufio.Writer
}

// maxBuffer is the size in bytes of the largest buffer for index.json. A buffer
// for the whole text would keep 43 MB in memory if the index has 200,000 entries,
// and a push would take 110 ms of CPU time instead of 55 ms.
const maxBuffer = 256 << 10

// bufferFor returns the buffer for a text with the given number of bytes. Only
// the leader calls it.
func (ws *writes) bufferFor(size int) *bufio.Writer {
	if ws.buffer == nil || ws.buffer.Size() < min(size, maxBuffer) {
		// The next text is probably longer.
		ws.buffer = bufio.NewWriterSize(nil, min(size+size/4, maxBuffer))
	}
	return ws.buffer
}

// A write is a change to an index. The leader calls apply with a draft of the
// current index while it holds the lock on the layout; apply either changes the
// draft or returns an error. Once the new index is on disk, the leader calls
// after. If the write fails, it calls undo, unless undo is nil.
type write struct {
	apply func(*draft) (after func() error, err error)
	after func() error
	undo  func()

	done chan struct{} // closed when err is final
	err  error
}

// write makes a change to the index, in one batch with the changes of other
// callers.
func (l *imageLayout) write(ctx context.Context, apply func(*draft) (after func() error, err error)) error {
	return l.make(ctx, &write{apply: apply})
}

// make makes the change w. If ctx ends before the layout can be locked, make
// returns an error and the change is not made.
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
		<-w.done // Another leader is already making the change.
		return w.err
	}
	select {
	case <-w.done: // the previous leader has made the change
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
// already taken the write.
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

// take returns the waiting writes and empties the queue.
func (ws *writes) take() []*write {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	batch := ws.queue
	ws.queue = nil
	return batch
}

// finish ends all writes of a batch. It sets the error of each to err, which may
// be nil, unless the write has already failed. Then it undoes those that failed.
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

// lock locks the layout and creates its directory if necessary. The function
// unlock removes the directory again unless it has become a layout.
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
			return // The directory has become a layout.
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
			clean() // Until now, the lock file was in the directory.
		}
	}
	release, locked, err := l.disk.lock(ctx, l.dir)
	switch {
	case err != nil && ctx.Err() == nil:
		clean()
		return nil, err
	case err != nil:
		// The store that holds the lock may be about to write to the directories, so
		// clean them up only if the lock is free. With a context that has ended,
		// lock does not wait.
		if release, locked, err := l.disk.lock(ctx, l.dir); err == nil {
			unlocked(release, locked)
		}
		return nil, err
	case !locked:
		l.disk.warnUnlocked()
	}
	return func() { unlocked(release, locked) }, nil
}

// firstMissing returns the topmost directory on the path of dir that does not
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

// lead makes the writes of a batch and ends them. The file of a manifest appears
// before the index that names it, and disappears after the index that named it
// is replaced.
func (l *imageLayout) lead(batch []*write) {
	ended := false
	defer func() {
		if !ended {
			// A function of one of the writes has panicked.
			finish(batch, errors.New("a concurrent write panicked"))
		}
	}()
	err := l.applyAgain(batch)
	if err != nil && len(batch) > 1 {
		// If the disk has no space for an index with all changes, it may have space
		// for an index with some of them.
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

// applyAlone makes one write of a batch that failed as a whole.
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
		w.after = nil // The function after uses the index of this write, so it must run before the next write.
		err = after()
	}
	return err
}

// applyAgain calls apply until no other program replaces index.json at the same
// time, at most maxReads times.
func (l *imageLayout) applyAgain(batch []*write) (err error) {
	for range maxReads {
		if err = l.apply(batch); err != errOverwritten {
			break
		}
	}
	return err
}

// errOverwritten means that another program replaced index.json after the store
// read it.
var errOverwritten = errors.New("another program keeps replacing index.json")

// apply makes the writes of a batch in a draft of index.json and publishes the
// draft. If that would discard the change of a program that does not use the
// lock, it returns errOverwritten, and the caller calls apply again.
func (l *imageLayout) apply(batch []*write) (err error) {
	x, err := l.current()
	isNew := errors.Is(err, errNoLayout)
	if isNew {
		x, err = l.leftover()
	}
	if err != nil {
		return err
	}
	d, succeeded := newDraft(x), false
	defer func() {
		if err != nil {
			for _, list := range d.lists {
				list.unpublish()
			}
		}
	}()
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

// leftover returns the index of a directory without an oci-layout file. Such a
// directory has an index.json only if a process was killed while it created the
// layout, or while another program unpacks a layout.
func (l *imageLayout) leftover() (*index, error) {
	text, info, err := l.disk.readFile(l.path(indexFile))
	if errors.Is(err, fs.ErrNotExist) {
		text, err = emptyIndex, nil
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

// publish writes a draft to index.json and makes it the current index. The
// argument read is the info of the index.json that the draft is based on. If
// another file has taken its place, publish returns errOverwritten. It writes
// oci-layout last, because that file makes the directory a layout.
func (l *imageLayout) publish(d *draft, isNew bool, read fs.FileInfo) error {
	x := d.index
	if isNew {
		if err := l.disk.mkdirAll(l.path(blobsDir + "/" + string(digest.Canonical))); err != nil {
			return err
		}
	}
	temp, err := l.disk.temps.writeBy(func(w io.Writer) error {
		buffer := l.writes.bufferFor(x.size())
		buffer.Reset(w)
		defer buffer.Reset(nil) // The layout keeps the buffer, but not the file.
		return x.encode(buffer)
	})
	if err != nil {
		return err
	}
	info, settled, err := l.disk.temps.settle(temp)
	if err == nil {
		x.file = info
		x.settled.Store(settled)
		if !settled {
			x.text = x.encoded()
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
			// The directory was not a layout before, so no other program uses these
			// files.
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
