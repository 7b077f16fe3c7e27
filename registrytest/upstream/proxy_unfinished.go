package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ocireg/registry"
)

// unfinished returns the response to a request whose body ended early with err: 400,
// or, if the upstream responds with the status of the upload session, 416 with the
// range of bytes that the upstream has, as in package registry.
func (p *passage) unfinished(err error) error {
	r := p.request
	e := registry.Errorf(r.Op.Code(http.StatusBadRequest), "the body of the request ended early: %v", err)
	e.Status = http.StatusBadRequest
	if !r.Op.HasSession() {
		return errors.Join(e, err)
	}
	u := *p.target
	u.RawQuery = withoutParam(u.RawQuery, "digest")
	resp, askErr := p.session(&u)
	if askErr != nil {
		return errors.Join(e, askErr)
	}
	if resp.StatusCode/100 == 2 {
		e.Status, e.Header = http.StatusRequestedRangeNotSatisfiable, make(http.Header)
		e.Header.Set("Location", p.reachable(cmp.Or(resp.Header.Get("Location"), u.RequestURI())))
		e.Header.Set("Range", resp.Header.Get("Range"))
	}
	return errors.Join(e, err)
}

// patience limits how long a Proxy waits until the upstream has the bytes of a
// request whose body ended early.
const patience = time.Second

// session requests the status of the upload session at the URL. The upstream may
// still be reading the upload, so session repeats the request until the upstream
// has all bytes that the client sent, or until patience has passed.
func (p *passage) session(u *url.URL) (*http.Response, error) {
	ctx, want := p.request.Context(), p.expected()
	for wait := time.Millisecond; ; wait *= 2 {
		ask, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return nil, err
		}
		if auth, ok := p.request.Header["Authorization"]; ok {
			ask.Header["Authorization"] = auth
		}
		resp, err := p.proxy.transport.RoundTrip(ask)
		if err != nil {
			return nil, fmt.Errorf("requesting the status of the upload session: %w", err)
		}
		resp.Body.Close()
		if resp.StatusCode/100 != 2 || has(resp.Header.Get("Range")) >= want || wait > patience {
			return resp, nil
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// expected returns the number of bytes of the upload session once the upstream
// has all bytes that the client sent.
func (p *passage) expected() int64 {
	start, _, _ := strings.Cut(p.request.Header.Get("Content-Range"), "-")
	offset, err := strconv.ParseInt(start, 10, 64)
	if err != nil || offset < 0 {
		offset = 0
	}
	return offset + p.body.size()
}

// has returns the number of bytes of an upload session, from the field Range of
// its status, such as "0-99" or "bytes=0-99". It returns 1 for "0-0", although an
// empty session also has that field.
func has(fieldRange string) int64 {
	_, last, _ := strings.Cut(fieldRange, "-")
	n, err := strconv.ParseUint(last, 10, 62)
	if err != nil {
		return 0
	}
	return int64(n) + 1
}

// sleep waits for d. It returns an error if the context ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
