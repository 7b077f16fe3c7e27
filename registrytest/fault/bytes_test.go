package fault

import (
	"bytes"
	"errors"
	"io"
	"net/http/httptest"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/inject"
)

// FuzzFilters checks that the effect of filters depends on the bytes alone, not
// on the pieces in which they are written or read.
func FuzzFilters(f *testing.F) {
	f.Add([]byte("0123456789"), []byte{3, 0, 4, 200}, int64(5), uint8(0))
	f.Add([]byte("0123456789"), []byte{1}, int64(-1), uint8(1))
	f.Add([]byte("0123456789"), []byte{5}, int64(5), uint8(2))
	f.Add([]byte("0123456789"), []byte{}, int64(10), uint8(3))
	f.Add([]byte{}, []byte{}, int64(0), uint8(2))
	f.Add([]byte("0123456789"), []byte{7}, int64(2), uint8(4))
	f.Fuzz(func(t *testing.T, content, pieces []byte, n int64, which uint8) {
		size := int64(len(content))
		at := fromStart(n, size)
		met := false
		end := errors.New("end")

		// Compute the bytes and pauses that the filter has to produce.
		want, wantErr, reached := bytes.Clone(content), error(nil), 0 <= at && at < size
		var pauses []int64
		var maker filterMaker
		switch which % 5 {
		case 0:
			maker = corruptAt
			if reached {
				want[at] ^= 0xff
			}
		case 1:
			maker = endAt(end)
			if reached = 0 <= at && at <= size; reached {
				want, wantErr = want[:at], end
			}
		case 2:
			maker = stallAt(time.Hour)
			if reached = 0 <= at && at <= size; reached {
				pauses = []int64{at}
			}
		case 3:
			maker, reached = throttleTo(max(at, 1), time.Hour), false
			for i := int64(0); i < size; i += max(at, 1) {
				pauses = append(pauses, i)
			}
		case 4:
			maker, reached = throttleTo(max(at, 1), 0), false
		}

		var out bytes.Buffer
		var paused []int64
		pause := func(d time.Duration) error {
			if d == time.Hour {
				paused = append(paused, int64(out.Len()))
			}
			return nil
		}
		position := position{func() int64 { return at }, pause, func() { met = true }}
		w := newFilterWriter(&out, maker(position))
		before := bytes.Clone(content)
		var err error
		for rest := content; len(rest) > 0 && err == nil; {
			piece := rest
			if len(pieces) > 0 {
				piece, pieces = rest[:min(len(rest), int(pieces[0]))], pieces[1:]
			}
			var written int
			written, err = w.Write(piece)
			if err == nil {
				require.Len(t, piece, written)
			}
			rest = rest[len(piece):]
		}
		if err == nil {
			err = w.Close()
		}
		require.Equal(t, wantErr, err)
		require.Equal(t, string(want), out.String())
		require.Equal(t, pauses, paused)
		require.Equal(t, reached, met)
		require.Equal(t, before, content, "a writer does not change its argument")

		for _, body := range []io.Reader{
			bytes.NewReader(content), iotest.OneByteReader(bytes.NewReader(content)), iotest.DataErrReader(bytes.NewReader(content)),
		} {
			out.Reset()
			paused = nil
			request := &registry.Request{Request: httptest.NewRequest("PUT", "/", nil)}
			r := &filterReader{ReadCloser: io.NopCloser(body), plan: newPlan(request), filter: maker(position)}
			_, err = io.Copy(struct{ io.Writer }{&out}, r)
			require.Equal(t, wantErr, err)
			require.Equal(t, string(want), out.String())
			require.Equal(t, pauses, paused)
			_, again := io.Copy(io.Discard, r)
			require.Equal(t, wantErr, again, "a read after the end returns the same error")
		}
	})
}

// Closing the body of a response closes the writer below it exactly once. Each rule here
// has one of the words that change the body, and has it twice if that is permitted.
func TestBodiesAreClosed(t *testing.T) {
	t.Parallel()
	for _, words := range []func(Rule) Rule{
		func(r Rule) Rule { return r.Body(Text("x")) },
		func(r Rule) Rule { return r.Body(Append("x")) },
		func(r Rule) Rule { return r.Body(Gzip) },
		func(r Rule) Rule { return r.Body(Zstd) },
		func(r Rule) Rule { return r.Corrupt(0) },
	} {
		var f inject.Rules
		_, err := f.Add(words(words(On())))
		if err != nil {
			_, err = f.Add(words(On()))
		}
		require.NoError(t, err)
		p := f.Inject(&registry.Request{Request: httptest.NewRequest("GET", "/v2/", nil)})
		closed := &closeCounter{}
		body := p.Body(closed, -1)
		_, err = io.WriteString(body, "0123456789")
		require.NoError(t, err)
		require.NoError(t, body.(io.Closer).Close())
		require.Equal(t, 1, closed.n)
	}
}

type closeCounter struct {
	bytes.Buffer
	n int
}

func (c *closeCounter) Close() error {
	c.n++
	return nil
}
