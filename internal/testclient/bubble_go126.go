//go:build go1.26

package testclient

const http2InBubbles = true
