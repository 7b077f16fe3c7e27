package conn

import "syscall"

// Plan 9 has messages instead of numbers.
var (
	Refused = syscall.NewError("connection refused")
	Reset   = syscall.NewError("connection reset")
	Broken  = syscall.NewError("i/o on hungup channel")
	InUse   = syscall.NewError("address in use")
)
