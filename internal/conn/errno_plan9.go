package conn

import "syscall"

// The errors for connections are messages on Plan 9, not numbers.
var (
	Refused = syscall.NewError("connection refused")
	Reset   = syscall.NewError("connection reset")
	Broken  = syscall.NewError("i/o on hungup channel")
	InUse   = syscall.NewError("address in use")
)
