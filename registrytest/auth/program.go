//go:build !wasip1

package auth

import (
	"os"
	"syscall"
)

// writeProgram writes an executable file. The kernel does not execute a file that
// is open for writing, and a process that another goroutine starts now may inherit
// the open file for a moment.
func writeProgram(name string, content []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(name, content, 0o755)
}
