package layout

import "syscall"

// largeFile is set when a file is opened. Without this flag, a 32-bit system
// cannot open files above 2 GiB. An [os.Root] does not set it.
const largeFile = syscall.O_LARGEFILE
