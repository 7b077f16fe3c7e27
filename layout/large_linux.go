package layout

import "syscall"

// largeFile is set when a file is opened through an [os.Root], which does not do
// so itself: on 32-bit systems, files above 2 GiB do not open without it.
const largeFile = syscall.O_LARGEFILE
