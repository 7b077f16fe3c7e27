package profile

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// After a chunk whose connection ended early, the registry refuses another chunk
// with the same state, and ends the upload session.
func TestStateOfCutChunk(t *testing.T) {
	t.Parallel()
	p, reg := newProber(t, Distribution28())
	session := p.start()
	conn, err := net.Dial("tcp", reg.Host())
	require.NoError(t, err)
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 100\r\n\r\n0123456789", strings.TrimPrefix(session, reg.URL), reg.Host())
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	io.Copy(io.Discard, r.Body)
	require.NoError(t, conn.Close())

	again := r.Header.Get("Location")
	require.NotEqual(t, session, again)
	require.Equal(t, "204, Range: 0-9", p.do("GET", again, "").field("Range"))
	require.Equal(t, "404 BLOB_UPLOAD_INVALID", p.chunk(session, 0, "0123456789").code())
	require.Equal(t, "404 BLOB_UPLOAD_UNKNOWN", p.chunk(again, 10, "0123456789").code())
}

// Only the responses to stored chunks have the Range of the first chunk. That of a
// refused chunk tells the client where to go on.
func TestFrozenRange(t *testing.T) {
	t.Parallel()
	p, reg := newProber(t, nil, Quirk("ecr.range-frozen"))
	session := p.start()
	require.Equal(t, "0-2", p.chunk(session, 0, "012").header.Get("Range"))
	require.Equal(t, "0-2", p.chunk(session, 3, "345").header.Get("Range"))
	refused := p.chunk(session, 9, "9")
	require.Equal(t, 416, refused.status)
	require.Equal(t, "0-5", refused.header.Get("Range"))
	require.Empty(t, reg.Requests().Op(registry.PatchUpload).Last().Notes)
}

// If a session has ended, a request with its state gets the error for an unknown
// session. A request with the state of another session gets that for an invalid state.
func TestStateOfEndedUpload(t *testing.T) {
	t.Parallel()
	for _, d := range []*Profile{Distribution28(), Distribution3()} {
		p, _ := newProber(t, d)
		session := p.start()
		p.want(p.do("DELETE", session, ""), "cancelling an upload", http.StatusNoContent)
		require.Equal(t, "404 BLOB_UPLOAD_UNKNOWN", p.chunk(session, 0, "0123456789").code())
		other := p.start()
		_, state, _ := strings.Cut(other, "?")
		bare, _, _ := strings.Cut(session, "?")
		require.Equal(t, "404 BLOB_UPLOAD_INVALID", p.chunk(bare+"?"+state, 0, "0123456789").code(), "a session must not accept the state of another one")
	}
}

// The value of a session is deleted when the session ends.
func TestBySession(t *testing.T) {
	t.Parallel()
	var s bySession[int]
	for i, op := range []registry.Op{registry.PutUpload, registry.CancelUpload, registry.PatchUpload, registry.GetUpload} {
		r := &registry.Request{Op: op, Session: fmt.Sprint(i)}
		s.set(r.Session, i)
		s.forget(r, http.StatusNotFound)
		_, ok := s.get(r.Session)
		require.True(t, ok)
		s.forget(r, http.StatusCreated)
	}
	require.Equal(t, map[string]int{"2": 2, "3": 3}, s.values)
}

// The quirk that ignores the order of chunks adds its receipt to a chunk out of
// order, and not to one in order.
func TestReceiptOfOrder(t *testing.T) {
	t.Parallel()
	p, reg := newProber(t, Quirk("distribution-2.8.chunk-order-unchecked").Profile())
	first := p.chunk(p.start(), 0, "0123456789")
	second := p.chunk(p.location(first), 10, "0123456789")
	require.Equal(t, "202, Range: 0-19", second.field("Range"))
	require.Empty(t, QuirksIn(reg.Requests()))
	require.Equal(t, "202, Range: 0-29", p.chunk(p.location(second), 10, "0123456789").field("Range"))
	require.NotEmpty(t, QuirksIn(reg.Requests()))
}

// If one quirk changes the Location of an upload session and another removes it,
// the response has no Location.
func TestStateWithoutLocation(t *testing.T) {
	t.Parallel()
	p, _ := newProber(t, Distribution3(With("quay.upload-status")))
	require.Equal(t, "204, Range: bytes=0-10, no Location", probeUploadStatus(p))
}
