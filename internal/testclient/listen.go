package testclient

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Listen returns a listener at a random loopback address, such as 127.84.2.7, that
// no other test is likely to use. While a server is stopped, its port is free: at
// 127.0.0.1, a server of another test might get it. If the system has only the
// loopback address 127.0.0.1, as macOS does, the listener is there.
func Listen(t interface {
	Helper()
	Fatalf(format string, args ...any)
}) net.Listener {
	t.Helper()
	own := fmt.Sprintf("127.%d.%d.%d:0", 1+rand.N(254), rand.N(256), 1+rand.N(254))
	l, err := net.Listen("tcp", own)
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatalf("listening on the loopback interface: %v", err)
	}
	return l
}
