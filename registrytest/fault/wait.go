package fault

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/ocireg/registry"
)

// A wait is for something to be over.
type wait struct {
	d     time.Duration             // how long it takes, or forever
	until <-chan struct{}           // closed when it is over before, or nil
	begin func(ctx context.Context) // called first, or nil
}

// forever is as long as there is somebody who waits.
const forever time.Duration = -1

// wait waits, and returns an error if the client went away, or the server was
// closed. It calls meanwhile first, if that is not nil, and does not wait if
// that returns an error.
func (w wait) wait(ctx context.Context, meanwhile func() error) error {
	if w.begin != nil {
		w.begin(ctx)
	}
	var timeout <-chan time.Time
	if w.d != forever {
		timer := time.NewTimer(w.d)
		defer timer.Stop()
		timeout = timer.C
	}
	if meanwhile != nil {
		if err := meanwhile(); err != nil {
			return gone(err)
		}
	}
	select {
	case <-timeout:
	case <-w.until:
	case <-ctx.Done():
		return gone(context.Cause(ctx))
	}
	return nil
}

// gone is the error of a fault that was waiting when there was nobody left to
// wait for it.
func gone(cause error) error {
	return fmt.Errorf("%w, after the client went away: %w", registry.CloseConnection, cause)
}

// before waits before the request is served.
func (w wait) before(r *registry.Request) error {
	if !blind(r.Request) {
		return w.wait(r.Context(), nil)
	}
	return w.wait(r.Context(), func() error {
		var ahead bytes.Buffer
		_, err := io.CopyN(&ahead, r.Body, maxAhead)
		if err != nil && err != io.EOF {
			return err
		}
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(&ahead, r.Body), r.Body}
		return nil
	})
}

// maxAhead is how many bytes of a body are read ahead by what waits.
const maxAhead = 1 << 20

// blind reports whether net/http is blind to the client's going away: it is as
// long as an HTTP/1.1 request has not been read to its end.
func blind(r *http.Request) bool {
	served := r.Context().Value(http.ServerContextKey) != nil
	// To read is to tell a client to go on that is waiting for that.
	return served && r.ProtoMajor == 1 && r.ContentLength != 0 && r.Header.Get("Expect") == ""
}
