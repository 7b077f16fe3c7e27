package upstream

import (
	"context"
	"sync"
)

// flights are running calls of functions, by key. Goroutines that need the
// result of the same call share it.
type flights[T any] struct {
	mu  sync.Mutex // guards all
	all map[string]*flight[T]
}

// A flight is one running call.
type flight[T any] struct {
	waiting int // number of goroutines that wait for the result; guarded by flights.mu
	cancel  context.CancelFunc
	ended   chan struct{}
	result  T
	err     error
}

// do returns the result of the running call with the key. Without such a call,
// it calls run in another goroutine. If ctx ends first, do returns the error of
// ctx, and the call continues for other goroutines. If no other one waits, do
// cancels the call and waits for its end.
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
		delete(f.all, key) // A later goroutine must not get the error of this call.
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
