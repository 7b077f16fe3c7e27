package memstore

import (
	"errors"
	"io"
	"sort"
)

// content is the bytes of a blob. Those of an upload are in slabs, so that they
// grow without being copied; those of [Store.PutBlob] are in source. Content
// does not change once it is in a store.
type content struct {
	slabs  []slab
	source io.ReaderAt // nil if the bytes are in slabs
	size   int64
}

// A slab is the part of the content that starts at an offset. Only the last
// slab may have room for more.
type slab struct {
	start int64
	data  []byte
}

const (
	// minSlab is the size of the first slab if the size of the whole is not
	// known. Most of what is small in a registry fits in.
	minSlab = 4 << 10

	// largeSlab is the size up to which slabs are as large as all before them
	// together, and the largest that is believed to be needed because of an
	// announced size alone.
	largeSlab = 1 << 20

	// maxSlab is the largest slab.
	maxSlab = 4 << 20

	// slackShare is the part of the content that may be allocated for nothing,
	// as a divisor.
	slackShare = 16
)

// grow adds a slab. The announced size is that of the whole, right or wrong,
// or negative.
func (c *content) grow(announced int64) {
	limit := min(max(largeSlab, c.size/slackShare), maxSlab)
	n := max(minSlab, c.size)
	if rest := announced - c.size; rest > 0 {
		n = rest
	}
	c.slabs = append(c.slabs, slab{start: c.size, data: make([]byte, 0, min(n, limit))})
}

// room returns the unused part of the last slab.
func (c *content) room() []byte {
	if len(c.slabs) == 0 {
		return nil
	}
	data := c.slabs[len(c.slabs)-1].data
	return data[len(data):cap(data)]
}

// extend adds the first n bytes of the room to the content.
func (c *content) extend(n int) {
	if n == 0 {
		return
	}
	last := &c.slabs[len(c.slabs)-1]
	last.data = last.data[:len(last.data)+n]
	c.size += int64(n)
}

// trim gives back the room if it is more than its share.
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

// held returns the number of bytes that are allocated for the content.
func (c *content) held() (n int64) {
	for _, s := range c.slabs {
		n += int64(cap(s.data))
	}
	return n
}

// from returns what its slab has from an offset on that is within the content.
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
