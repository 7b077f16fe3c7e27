package conn

import "syscall"

// The errors of Winsock for connections. Package syscall also has ECONNREFUSED
// and the other names of POSIX, but no call on Windows returns those.
const (
	Refused = syscall.Errno(10061)
	Reset   = syscall.WSAECONNRESET
	Broken  = syscall.WSAECONNABORTED
	InUse   = syscall.Errno(10048)
)
