// Package conn carries facts about a client's connection from the server that
// accepted it to the rooms that look at its requests.
package conn

import (
	"context"
	"errors"
)

// ErrClosed is the cause with which the context of a request is cancelled when
// the server itself has closed the connection. Any other cancellation means
// that the client went away.
var ErrClosed = errors.New("registrytest: the server closed the connection")

type numberKey struct{}

// WithNumber returns a context for the requests on the connection with the
// number n, counted from 1.
func WithNumber(ctx context.Context, n int) context.Context {
	return context.WithValue(ctx, numberKey{}, n)
}

// Number returns the number of the connection that a request with this context
// came by, or 0 if the server does not count its connections.
func Number(ctx context.Context) int {
	n, _ := ctx.Value(numberKey{}).(int)
	return n
}
