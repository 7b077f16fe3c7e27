package upstream_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// raw starts an upstream and returns its URL. For each connection, the upstream
// reads the header of a request, calls respond, and closes the connection.
func raw(t *testing.T, respond func(c *net.TCPConn, r *http.Request)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				if r, err := http.ReadRequest(bufio.NewReaderSize(c, 16)); err == nil {
					respond(c.(*net.TCPConn), r)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	return "http://" + l.Addr().String()
}

// says returns a function for raw that sends the text. If reset is true, the
// connection is then reset instead of closed.
func says(text string, reset bool) func(*net.TCPConn, *http.Request) {
	return func(c *net.TCPConn, _ *http.Request) {
		io.WriteString(c, text)
		if reset {
			c.SetLinger(0)
		}
	}
}

// withoutLeaks runs the test as a subtest. It fails if goroutines or file
// descriptors remain afterwards. The calling test must not be parallel.
func withoutLeaks(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Run("sizes", func(t *testing.T) { // The first server makes the runtime open descriptors that it keeps.
		s := httptest.NewServer(http.NotFoundHandler())
		defer s.Close()
		resp, err := s.Client().Get(s.URL)
		require.NoError(t, err)
		resp.Body.Close()
	})
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	t.Run("test", test)
	if !assertSoon(func() bool { return runtime.NumGoroutine() <= goroutines && descriptors(t) <= files }) {
		stacks := make([]byte, 1<<20)
		t.Errorf("the test left goroutines or files: %d goroutines (%d before), %d file descriptors (%d before)\n%s", runtime.NumGoroutine(), goroutines,
			descriptors(t), files, stacks[:runtime.Stack(stacks, true)])
	}
}

// assertSoon waits until met returns true. It returns false after 20 seconds.
func assertSoon(met func() bool) bool {
	for end := time.Now().Add(20 * time.Second); !met(); runtime.Gosched() {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// descriptors returns the number of open file descriptors on Linux, and
// otherwise 0.
func descriptors(t *testing.T) int {
	if runtime.GOOS != "linux" {
		return 0
	}
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}
