package content

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"io/fs"

	"github.com/opencontainers/go-digest"
)

// A source is the content of a blob, which is in memory or generated. Except for a
// negative offset, its only error is [io.EOF] at the end.
type source interface {
	io.ReaderAt
	Size() int64
}

func newReader(s source) *io.SectionReader {
	return io.NewSectionReader(s, 0, s.Size())
}

// digestOf reads the whole source, and returns its digest.
func digestOf(s source, algorithm digest.Algorithm) digest.Digest {
	d := algorithm.Digester()
	io.Copy(d.Hash(), newReader(s))
	return d.Digest()
}

// random is a source of pseudo-random bytes. Each byte is computed from the seed and
// its offset, so reading in the middle costs no more than reading the beginning.
type random struct {
	seed uint64
	size int64
}

func (r random) Size() int64 { return r.size }

// word returns the bytes 8i to 8i+7 of the source, as SplitMix64 computes them.
func (r random) word(i uint64) uint64 {
	z := r.seed + (i+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (r random) ReadAt(p []byte, off int64) (int, error) {
	return readAt(p, off, r.size, func(p []byte, off int64) int {
		i, done := uint64(off)/8, 0
		if skip := off % 8; skip != 0 || len(p) < 8 {
			var b [8]byte
			binary.LittleEndian.PutUint64(b[:], r.word(i))
			return copy(p, b[skip:])
		}
		for ; len(p)-done >= 8; i, done = i+1, done+8 {
			binary.LittleEndian.PutUint64(p[done:], r.word(i))
		}
		return done
	})
}

// zeros is a source of zero bytes. Its value is the number of them.
type zeros int64

func (z zeros) Size() int64 { return int64(z) }

func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	return readAt(p, off, int64(z), func(p []byte, _ int64) int {
		clear(p)
		return len(p)
	})
}

// concat is a source that consists of other sources, one after the other.
type concat []source

func (c concat) Size() (size int64) {
	for _, s := range c {
		size += s.Size()
	}
	return size
}

func (c concat) ReadAt(p []byte, off int64) (int, error) {
	return readAt(p, off, c.Size(), func(p []byte, off int64) int {
		for _, s := range c {
			if size := s.Size(); off >= size {
				off -= size
				continue
			}
			n, _ := s.ReadAt(p, off)
			return n
		}
		return 0
	})
}

const (
	maxStored    = 65535                                      // bytes in a stored block of deflate (RFC 1951, section 3.2.4)
	storedHeader = 5                                          // bytes in the header of such a block
	gzipHeader   = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" // has no file name, no time and no operating system
	gzipTrailer  = 8
	gzipFraming  = int64(len(gzipHeader) + gzipTrailer)
)

// gzipped is a source in gzip's format (RFC 1952), stored in blocks without
// compression. The output of package compress/gzip may change from one release of Go
// to the next, but the digests of content must not.
type gzipped struct {
	source
	blocks int64
	crc    uint32
}

// storedBlocks returns the number of stored blocks that size bytes need.
func storedBlocks(size int64) int64 {
	return max(1, (size+maxStored-1)/maxStored)
}

// compress returns s in gzip's format with this number of blocks, and the digest of
// s itself.
func compress(s source, blocks int64) (gzipped, digest.Digest) {
	crc, d := crc32.NewIEEE(), digest.Canonical.Digester()
	io.Copy(io.MultiWriter(crc, d.Hash()), newReader(s))
	return gzipped{s, blocks, crc.Sum32()}, d.Digest()
}

func (g gzipped) Size() int64 {
	return gzipFraming + g.blocks*storedHeader + g.source.Size()
}

func (g gzipped) ReadAt(p []byte, off int64) (int, error) {
	size := g.source.Size()
	return readAt(p, off, g.Size(), func(p []byte, off int64) int {
		if off < int64(len(gzipHeader)) {
			return copy(p, gzipHeader[off:])
		}
		off -= int64(len(gzipHeader))
		if off >= g.blocks*storedHeader+size {
			trailer := binary.LittleEndian.AppendUint32(nil, g.crc)
			trailer = binary.LittleEndian.AppendUint32(trailer, uint32(size))
			return copy(p, trailer[off-g.blocks*storedHeader-size:])
		}
		// The last block may be empty, and then the block before it may be short.
		start := func(block int64) int64 { return block*storedHeader + min(block*maxStored, size) }
		block := min(off/(storedHeader+maxStored), g.blocks-1)
		if block+1 < g.blocks && off >= start(block+1) {
			block++
		}
		from := min(block*maxStored, size)
		n := min(maxStored, size-from)
		off -= start(block)
		if off < storedHeader {
			header := []byte{0, byte(n), byte(n >> 8), ^byte(n), ^byte(n >> 8)}
			if block == g.blocks-1 {
				header[0] = 1
			}
			return copy(p, header[off:])
		}
		off -= storedHeader
		read, _ := g.source.ReadAt(p[:min(int64(len(p)), n-off)], from+off)
		return read
	})
}

// readAt implements [io.ReaderAt] for a source of the given size. It calls the function
// in its last argument until p is full. The function writes at least one byte to its
// own argument p, which is not empty, and returns the number of bytes.
func readAt(p []byte, off, size int64, some func(p []byte, off int64) int) (n int, err error) {
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	if int64(len(p)) > size-off {
		p, err = p[:max(0, size-off)], io.EOF
	}
	for n < len(p) {
		n += some(p[n:], off+int64(n))
	}
	return n, err
}
