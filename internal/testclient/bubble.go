package testclient

import "testing"

// NeedHTTP2InBubbles skips a test that uses HTTP/2 in a bubble of
// testing/synctest if the release of Go does not support that. Before Go 1.26,
// net/http shares channels between bubbles, which ends the program.
func NeedHTTP2InBubbles(t testing.TB) {
	t.Helper()
	if !http2InBubbles {
		t.Skip("HTTP/2 in a bubble requires Go 1.26")
	}
}
