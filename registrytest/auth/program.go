//go:build !wasip1

package auth

import (
	"os"
	"syscall"
)

// writeProgram writes an executable file. The kernel refuses to execute a file
// that is open for writing. A process that another goroutine starts meanwhile
// would inherit the open file, so writeProgram prevents that.
func writeProgram(name string, content []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(name, content, 0o755)
}
