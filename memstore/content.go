package memstore

import (
	"errors"
	"io"
	"sort"
)

// A content holds the bytes of a blob. The bytes of an upload are in slabs, so
// that adding bytes copies none. A blob from [Store.PutBlob] has a source
// instead. A content does not change once it is in a store.
type content struct {
	slabs  []slab
	source io.ReaderAt // nil if the slabs have the bytes
	size   int64
}

// A slab holds the bytes of a content from the offset start. Only the last slab
// may have unused capacity.
type slab struct {
	start int64
	data  []byte
}

const (
	// minSlab is the size of the first slab if the size of the blob is unknown.
	// Most configs fit in it.
	minSlab = 4 << 10

	// largeSlab is the content size up to which each new slab doubles the
	// capacity. It is also the limit for the first slab, because a client may
	// announce too large a size.
	largeSlab = 1 << 20

	// maxSlab limits the capacity of a slab, however large the content is.
	maxSlab = 4 << 20

	// slackShare limits unused capacity: it may be at most the size of the content
	// divided by slackShare.
	slackShare = 16
)

// grow adds an empty slab. The argument is the size that the client announced for
// the whole blob, or negative if it announced none. It may be wrong.
func (c *content) grow(announced int64) {
	limit := min(max(largeSlab, c.size/slackShare), maxSlab)
	n := max(minSlab, c.size)
	if rest := announced - c.size; rest > 0 {
		n = rest
	}
	c.slabs = append(c.slabs, slab{start: c.size, data: make([]byte, 0, min(n, limit))})
}

// room returns the unused capacity of the last slab, which may be empty.
func (c *content) room() []byte {
	if len(c.slabs) == 0 {
		return nil
	}
	data := c.slabs[len(c.slabs)-1].data
	return data[len(data):cap(data)]
}

// extend makes the next n bytes of the last slab part of the content. The caller
// has written them to the slice that room returned.
func (c *content) extend(n int) {
	if n == 0 {
		return
	}
	last := &c.slabs[len(c.slabs)-1]
	last.data = last.data[:len(last.data)+n]
	c.size += int64(n)
}

// trim frees the unused capacity if slackShare does not allow it.
func (c *content) trim() {
	if room := int64(len(c.room())); room <= c.size/slackShare {
		return
	}
	last := &c.slabs[len(c.slabs)-1]
	if len(last.data) == 0 {
		*last = slab{}
		c.slabs = c.slabs[:len(c.slabs)-1]
		return
	}
	last.data = append(make([]byte, 0, len(last.data)), last.data...)
}

// held returns the number of bytes that are allocated for the slabs.
func (c *content) held() (n int64) {
	for _, s := range c.slabs {
		n += int64(cap(s.data))
	}
	return n
}

// from returns the rest of the slab that has the byte at the offset, beginning
// with that byte. The offset must be within the content.
func (c *content) from(off int64) []byte {
	i := sort.Search(len(c.slabs), func(i int) bool { return c.slabs[i].start > off }) - 1
	return c.slabs[i].data[off-c.slabs[i].start:]
}

// ReadAt implements [io.ReaderAt].
func (c *content) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	if c.source != nil {
		return c.source.ReadAt(p, off)
	}
	for n < len(p) && off < c.size {
		m := copy(p[n:], c.from(off))
		n += m
		off += int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
