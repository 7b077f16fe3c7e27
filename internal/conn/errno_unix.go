//go:build !plan9 && !windows

package conn

import "syscall"

// The errors that the operating system returns for connections. A connection in
// memory returns the same ones, so that a test of a client needs no other check.
const (
	Refused = syscall.ECONNREFUSED // the address has no listener
	Reset   = syscall.ECONNRESET   // the peer reset the connection
	Broken  = syscall.EPIPE        // the peer no longer reads
	InUse   = syscall.EADDRINUSE   // the address has a listener
)
