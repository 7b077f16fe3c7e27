package fault

import (
	"bytes"
	"io"

	"github.com/ocireg/registry"
)

// An aheadBody is the body of a request whose beginning may have been read ahead.
type aheadBody struct {
	io.ReadCloser
	rest []byte // bytes that were read ahead and that the operation has not read yet
	err  error  // the error of reading ahead, or nil
}

// bodyUnder returns the body of the request without the filters of rules. A wait reads
// this body ahead, because the effects of the filters come after all waits.
func bodyUnder(r *registry.Request) *aheadBody {
	for at := &r.Body; ; {
		switch b := (*at).(type) {
		case *filterReader:
			at = &b.ReadCloser
		case *limitedBody:
			at = &b.ReadCloser
		case *aheadBody:
			return b
		default:
			under := &aheadBody{ReadCloser: b}
			*at = under
			return under
		}
	}
}

// readAhead reads until the operation has n bytes to read, or the body ends. It returns
// an error if reading the body fails.
func (b *aheadBody) readAhead(n int) error {
	if missing := n - len(b.rest); missing > 0 && b.err == nil {
		ahead := bytes.NewBuffer(b.rest)
		_, err := io.CopyN(ahead, b.ReadCloser, int64(missing))
		if b.rest = ahead.Bytes(); err != io.EOF {
			b.err = err
		}
	}
	return b.err
}

func (b *aheadBody) Read(p []byte) (int, error) {
	switch {
	case len(b.rest) > 0:
		n := copy(p, b.rest)
		b.rest = b.rest[n:]
		return n, nil
	case b.err != nil:
		return 0, b.err
	}
	return b.ReadCloser.Read(p)
}
