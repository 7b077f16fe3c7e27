//go:build !windows

package layout

import (
	"errors"
	"syscall"
)

// isImpossible reports whether the error means that no file with such a path can
// exist: the path leads through a file, or a name is too long.
func isImpossible(err error) bool {
	return errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG)
}
