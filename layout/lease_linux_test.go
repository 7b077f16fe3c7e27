package layout_test

import (
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// Who has a lease on a file, as file servers do, is asked for it when somebody
// else opens the file, and given the time that the kernel gives.
func TestLeaseIsWaitedFor(t *testing.T) {
	const setLease = 1024 // F_SETLEASE
	dir := emptyLayout(t)
	s := open(t, dir)
	d := pushBlob(t, s, "app", "content")
	file, err := os.OpenFile(blobFile(dir, d), os.O_RDWR, 0)
	require.NoError(t, err)
	defer file.Close()
	lease := func(kind uintptr) syscall.Errno {
		_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, file.Fd(), setLease, kind)
		return errno
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGIO)
	defer signal.Stop(asked)
	if errno := lease(syscall.F_WRLCK); errno != 0 {
		t.Skip("this file system has no leases: ", errno)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-asked
		lease(syscall.F_UNLCK)
	}()
	require.Equal(t, "content", request(t, registry.New(s), "GET", "/v2/app/blobs/"+d.String(), 200).Body.String())
	<-done
}
