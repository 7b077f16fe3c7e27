package layout

import "syscall"

// largeFile is the flag that lets a 32-bit system open files above 2 GiB. An
// [os.Root] does not set it.
const largeFile = syscall.O_LARGEFILE
