package fault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/ocireg/registry"
)

// The methods in this file make requests take time. All waits end as soon as net/http
// notices that the client went away, or the server is closed. In a bubble of
// testing/synctest, they use the clock of the bubble.
//
// Over HTTP/1.1, net/http notices that a client went away only if it has read
// the whole request. So a wait reads up to 1 MiB of the body ahead, unless the
// client expects 100-continue. The wait lasts longer if the client stops sending.

// Delay waits before the request is served or, with AfterCommit, before the response
// is sent. With a second duration it waits for a time between the two, which depends
// on the seed. Delays add up.
func (r Rule) Delay(d time.Duration, upTo ...time.Duration) Rule {
	arg := d.String()
	if len(upTo) > 0 {
		arg += ".." + upTo[0].String()
	}
	r, p := r.addAgain("delay", arg)
	p.waits = true
	if len(upTo) == 0 {
		p.do(func(p *plan, h *hit) { p.wait(h.part.afterCommit, wait{d: d}) })
		return r.refuse(checkDuration(d))
	}
	most := upTo[0]
	p.drawsRandom, p.takesSeed = true, true
	p.do(func(p *plan, h *hit) { p.wait(h.part.afterCommit, wait{d: h.between(d, most)}) })
	switch {
	case len(upTo) > 1:
		return r.refuse(errors.New("it has more than two durations"))
	case d >= most:
		return r.refuse(fmt.Errorf("%v is not less than %v", d, most))
	}
	return r.refuse(atLeast(0, int64(d))).refuse(checkDuration(most))
}

// Stall waits before byte n of the body, for the duration. Without a duration, it
// waits until the client goes away. With 0 for n, the header of a response is sent
// before the wait.
func (r Rule) Stall(n int64, d ...time.Duration) Rule {
	r, p := r.addAgain("stall", integerText(n, d))
	length := forever
	if len(d) > 0 {
		length = d[0]
	}
	p.filter(n, stallAt(length))
	if n != 0 {
		p.needsBytes()
	}
	switch {
	case len(d) > 1:
		return r.refuse(errors.New("it has more than one duration"))
	case len(d) == 1:
		return r.refuse(checkDuration(length))
	}
	return r
}

// Throttle transfers n bytes a second, in small pieces. With a duration, the pieces
// have n bytes, and Throttle waits for the duration before each: Throttle(1, 0) sends
// a response byte by byte, without a wait.
func (r Rule) Throttle(n int64, every ...time.Duration) Rule {
	r, p := r.addAgain("throttle", integerText(n, every))
	switch {
	case n < 1:
		return r.refuse(errors.New("less than 1"))
	case len(every) > 1:
		return r.refuse(errors.New("it has more than one duration"))
	case len(every) == 1 && every[0] < 0:
		return r.refuse(errors.New("the duration is less than 0"))
	}
	piece, pause := max(n/20, 1), time.Duration(0)
	if len(every) == 0 {
		pause = time.Duration(float64(piece) / float64(n) * float64(time.Second))
	} else {
		piece, pause = n, every[0]
	}
	p.always(throttleTo(piece, pause))
	p.needsBytes()
	return r
}

// delayWords has the words for the methods in this file.
var delayWords = vocabulary{
	{"delay", anything(parseDelay)},
	{"stall", byteNumberFor(Rule.Stall)},
	{"throttle", byteNumberFor(Rule.Throttle)},
}

func parseDelay(r Rule, a argument) (Rule, error) {
	if !a.given {
		return r, errNoArgument
	}
	first, second, between := strings.Cut(a.text, "..")
	d, err := parseDuration(first)
	if err != nil || !between {
		return r.Delay(d), err
	}
	upTo, err := parseDuration(second)
	return r.Delay(d, upTo), err
}

// integerText returns the argument of a word with a number and an optional duration,
// such as "100" or "100:1s".
func integerText(n int64, d []time.Duration) string {
	if len(d) == 0 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d:%v", n, d[0])
}

// checkDuration returns an error if the duration is not above 0, or is so short that
// the caller seems to have forgotten the unit.
func checkDuration(d time.Duration) error {
	switch {
	case d <= 0:
		return errors.New("want a duration above 0")
	case d < time.Microsecond:
		return fmt.Errorf("%v is less than a microsecond: for %d seconds, write %d*time.Second", d, d, d)
	}
	return nil
}

// stallAt returns a maker of filters that wait once, before the byte at the position.
func stallAt(d time.Duration) filterMaker {
	return func(p position) filter {
		waited := false
		return func(offset int64, b []byte) ([]byte, error) {
			i := p.at() - offset
			switch {
			case waited || i < 0 || i > int64(len(b)):
				return b, nil
			case i > 0:
				return b[:i], nil
			}
			p.met()
			waited = true
			if err := p.pause(d); err != nil {
				return nil, err
			}
			return b, nil
		}
	}
}

// throttleTo returns a maker of filters that pause before each piece of a body. The
// parameter piece is the number of bytes in a piece.
func throttleTo(piece int64, pause time.Duration) filterMaker {
	return func(p position) filter {
		return func(offset int64, b []byte) ([]byte, error) {
			if len(b) == 0 {
				return nil, nil
			}
			done := offset % piece
			if done == 0 && pause > 0 {
				if err := p.pause(pause); err != nil {
					return nil, err
				}
			}
			return b[:min(int64(len(b)), piece-done)], nil
		}
	}
}

// A wait lasts until a time has passed, or until a gate opens.
type wait struct {
	d time.Duration // the longest time, or forever

	// stop, unless it is nil, is called before the wait, and end after it. The wait
	// ends when until is closed.
	stop func(ctx context.Context) (until <-chan struct{}, end func())
}

// forever is the time of a wait that only a gate or the client can end.
const forever time.Duration = -1

// wait returns when the wait is over, with an error if the client goes away or the
// server is closed. Unless meanwhile is nil, wait calls it while the time passes. An
// error of meanwhile ends the wait.
func (w wait) wait(ctx context.Context, meanwhile func() error) error {
	var until <-chan struct{}
	if w.stop != nil {
		var end func()
		until, end = w.stop(ctx)
		defer end()
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
	case <-until:
	case <-ctx.Done():
		return gone(context.Cause(ctx))
	}
	return nil
}

// gone returns the error of a fault whose client went away while it waited.
func gone(cause error) error {
	return fmt.Errorf("%w, after the client went away: %w", registry.CloseConnection, cause)
}

// before waits before the request is served. If net/http would not notice that the
// client goes away, before reads the beginning of the body meanwhile.
func (w wait) before(r *registry.Request, blind bool) error {
	if !blind {
		return w.wait(r.Context(), nil)
	}
	return w.wait(r.Context(), func() error { return bodyUnder(r).readAhead(maxAhead) })
}

// maxAhead limits the bytes of a request's body that a wait reads ahead.
const maxAhead = 1 << 20

// blind reports whether a wait has to read the body ahead: net/http notices that the
// client of an HTTP/1.1 request goes away only if it has read the request to its end.
func blind(r *http.Request) bool {
	served := r.Context().Value(http.ServerContextKey) != nil
	// If the client expects 100-continue, reading the body would make it send.
	return served && r.ProtoMajor == 1 && r.ContentLength != 0 && r.Header.Get("Expect") == ""
}
