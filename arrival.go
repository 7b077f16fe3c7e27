package registry

import (
	"io"
	"sync"
)

// An arrival is the body of a request as it comes in to an upload session,
// which it hashes and counts.
type arrival struct {
	*upload
	body io.Reader
}

// pieceSize is how many bytes are hashed at once while more come in. It is
// large, as the fewer the reads, the less a client on the same machine has to
// wait for them.
const pieceSize = 512 << 10

// Read implements [io.Reader]. It reads until p is full, so that what has come
// can be hashed while the rest is coming.
func (a *arrival) Read(p []byte) (n int, err error) {
	var hashing sync.WaitGroup
	defer hashing.Wait()
	hashed := 0
	for err == nil && n < len(p) {
		var m int
		m, err = a.body.Read(p[n:min(hashed+pieceSize, len(p))])
		if m == 0 && err == nil {
			break // Whoever calls counts the reads that come to nothing.
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
