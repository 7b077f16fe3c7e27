//go:build !wasip1

package auth

import (
	"os"
	"syscall"
)

// writeProgram writes an executable file. Unix kernels, such as Linux, refuse to
// execute a file that any process has open for writing. So writeProgram holds a
// lock that prevents other goroutines from starting processes, which would
// inherit the open file. Other systems do not need the lock.
func writeProgram(name string, content []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(name, content, 0o755)
}
