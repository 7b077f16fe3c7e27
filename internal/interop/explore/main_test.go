package explore

import (
	"context"
	"errors"
	"net"
	"testing"
)

// TestMain keeps clients that resolve names themselves from asking DNS servers.
// It also uses the resolver once, because its first use must not be in a bubble.
func TestMain(m *testing.M) {
	net.DefaultResolver.PreferGo = true
	net.DefaultResolver.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("these tests must not query DNS servers; only names of this machine resolve")
	}
	_, _ = net.DefaultResolver.LookupIPAddr(context.Background(), "registry.invalid")
	m.Run()
}
