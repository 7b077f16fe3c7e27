package heavy

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/sirupsen/logrus"
)

// TestMain keeps containers/image quiet, which logs each resumed download, and
// clients that resolve names by themselves from asking servers on the network. It
// prepares the resolver: its first use must not be in a bubble.
func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard)
	net.DefaultResolver.PreferGo = true
	net.DefaultResolver.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("names are those of this machine only")
	}
	_, _ = net.DefaultResolver.LookupIPAddr(context.Background(), "registry.invalid")
	m.Run()
}
