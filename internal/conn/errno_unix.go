//go:build !plan9 && !windows

package conn

import "syscall"

// The errors that the operating system returns for connections. Connections in
// memory return the same errors, so clients treat them alike.
const (
	Refused = syscall.ECONNREFUSED // the address has no listener
	Reset   = syscall.ECONNRESET   // the peer reset the connection
	Broken  = syscall.EPIPE        // the peer no longer reads
	InUse   = syscall.EADDRINUSE   // the address has a listener
)
