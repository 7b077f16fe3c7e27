package layout

import (
	"errors"
	"syscall"
)

// Errors that Windows returns while another process has the file open
// exclusively.
const (
	errorAccessDenied     = syscall.Errno(5)
	errorSharingViolation = syscall.Errno(32)
	errorLockViolation    = syscall.Errno(33)
)

// transient reports whether the operation may succeed soon, because another
// process has the file open or is removing it.
func transient(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) &&
		(errno == errorAccessDenied || errno == errorSharingViolation || errno == errorLockViolation)
}

// Errors that Windows returns for paths that no file can have. Package syscall
// also defines ENAMETOOLONG, but no call returns it.
const (
	errorInvalidName     = syscall.Errno(123) // from an os.Root, also for a name that is too long
	errorBadPathname     = syscall.Errno(161)
	errorFilenameTooLong = syscall.Errno(206)
	errorDirectory       = syscall.Errno(267) // from an os.Root, for a path that leads through a file
)

// isImpossible reports whether the error means that no file with such a path can
// exist: the path leads through a file, or a name is too long.
func isImpossible(err error) bool {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case syscall.ENOTDIR, errorInvalidName, errorBadPathname, errorFilenameTooLong, errorDirectory:
		return true
	}
	return false
}
