package upstream

import (
	"context"
	"sync"
)

// flights are calls of functions. Callers with the same key share one call,
// which ends when the last of them returns, if it has not ended before.
type flights[T any] struct {
	mu  sync.Mutex
	all map[string]*flight[T]
}

// A flight is one call.
type flight[T any] struct {
	waiting int // guarded by the mutex of the flights
	cancel  context.CancelFunc
	ended   chan struct{}
	result  T
	err     error
}

// do calls run, or waits for a call with the same key. If ctx is done, do
// returns the error of ctx, and the call goes on for the other callers. The
// last caller to leave ends the call and waits for it.
func (f *flights[T]) do(ctx context.Context, key string, run func(context.Context) (T, error)) (T, error) {
	f.mu.Lock()
	call := f.all[key]
	if call == nil {
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		call = &flight[T]{cancel: cancel, ended: make(chan struct{})}
		if f.all == nil {
			f.all = make(map[string]*flight[T])
		}
		f.all[key] = call
		go func() {
			defer close(call.ended)
			defer cancel()
			call.result, call.err = run(own)
			f.forget(key, call)
		}()
	}
	call.waiting++
	f.mu.Unlock()

	select {
	case <-call.ended:
		return call.result, call.err
	case <-ctx.Done():
	}
	f.mu.Lock()
	call.waiting--
	last := call.waiting == 0
	if last && f.all[key] == call {
		delete(f.all, key) // The next call must not share the error.
	}
	f.mu.Unlock()
	if last {
		call.cancel()
		<-call.ended
	}
	return *new(T), ctx.Err()
}

func (f *flights[T]) forget(key string, call *flight[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all[key] == call {
		delete(f.all, key)
	}
}
