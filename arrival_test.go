package registry

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func TestArrivalHashesWhatItReads(t *testing.T) {
	t.Parallel()
	cut := errors.New("cut")
	for _, size := range []int{0, 1, pieceSize - 1, pieceSize, pieceSize + 1, 3 * pieceSize, 3*pieceSize + 5} {
		for _, room := range []int{1000, pieceSize, 2*pieceSize + 7, 4 * pieceSize} {
			for name, wrap := range map[string]func(io.Reader) io.Reader{
				"whole":                   func(r io.Reader) io.Reader { return r },
				"halves":                  iotest.HalfReader,
				"end with the last bytes": iotest.DataErrReader,
				"cut":                     func(r io.Reader) io.Reader { return io.MultiReader(r, iotest.ErrReader(cut)) },
			} {
				t.Run(fmt.Sprint(size, " bytes, ", room, " at once, ", name), func(t *testing.T) {
					content := bytes.Repeat([]byte("0123456789abcde"), size/15+1)[:size]
					s := &upload{hash: sha256.New()}
					a := &arrival{s, wrap(bytes.NewReader(content))}
					var got []byte
					var err error
					for p := make([]byte, room); err == nil; {
						var n int
						n, err = a.Read(p)
						got = append(got, p[:n]...)
						require.Equal(t, int64(len(got)), s.size.Load())
					}
					if name == "cut" {
						require.ErrorIs(t, err, cut)
					} else {
						require.Equal(t, io.EOF, err)
					}
					require.True(t, bytes.Equal(content, got))
					want := sha256.Sum256(content)
					require.Equal(t, want[:], s.hash.Sum(nil))
				})
			}
		}
	}
}

func TestArrivalReturnsFromAReadThatCameToNothing(t *testing.T) {
	t.Parallel()
	a := &arrival{&upload{hash: sha256.New()}, idle{}}
	n, err := a.Read(make([]byte, 4*pieceSize))
	require.NoError(t, err)
	require.Zero(t, n)
}

// An idle is a body whose Read always returns no byte and no error.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }
