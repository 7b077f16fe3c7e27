package registry

import (
	"io"
	"sync"
)

// An arrival is the body of a request that is read into an upload session. It
// counts and hashes the bytes as they are read, and hashes one piece while the
// next one arrives. Over HTTP, this saves 14 to 23 % of the time to push 256 MiB
// (two cores, client included: 1.25 s instead of 1.62 s in one PATCH, 1.49 s
// instead of 1.73 s in one POST).
type arrival struct {
	*upload
	body io.Reader
}

// pieceSize is the number of bytes in a piece; the last one of a read may have
// fewer. With larger reads, a client on the same machine waits less often for a
// read.
const pieceSize = 512 << 10

// Read implements [io.Reader]. It fills p before it returns, unless the body
// ends or a read of it returns no byte.
func (a *arrival) Read(p []byte) (n int, err error) {
	var hashing sync.WaitGroup
	defer hashing.Wait()
	hashed := 0
	for err == nil && n < len(p) {
		var m int
		m, err = a.body.Read(p[n:min(hashed+pieceSize, len(p))])
		if m == 0 && err == nil {
			break // Let the caller decide how many zero-byte reads to accept.
		}
		n += m
		a.size.Add(int64(m))
		if piece := p[hashed:n]; err == nil && len(piece) == pieceSize && n < len(p) {
			hashing.Wait()
			hashing.Go(func() { a.hash.Write(piece) })
			hashed = n
		}
	}
	hashing.Wait()
	a.hash.Write(p[hashed:n])
	return n, err
}
