package journal

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/content"
)

// When a client has received a whole response, the journal has recorded the request as
// finished, even if the response is large.
func TestRecordPrecedesTheEndOfTheResponse(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 0)
	const size = 100_000
	blob := content.Random("application/octet-stream", size, 1)
	require.NoError(t, content.PutBlob(t.Context(), s.store, "app", blob))
	for i := range 300 {
		resp, err := s.Client().Get(s.URL + "/v2/app/blobs/" + string(blob.Digest))
		require.NoError(t, err)
		n, err := io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		resp.Body.Close()
		r := s.Requests().Last()
		require.Equal(t, i+1, r.Number)
		require.False(t, r.Ongoing)
		require.Equal(t, 200, r.Status)
		require.EqualValues(t, size, r.BytesOut)
	}
}

// The journal's handler writes the last byte of a response only after the registry's
// handler has returned, for every way in which the latter can write the body.
func TestLastByteIsHeldBack(t *testing.T) {
	t.Parallel()
	const text = "0123456789"
	for name, write := range map[string]func(w http.ResponseWriter){
		"at once":  func(w http.ResponseWriter) { io.WriteString(w, text) },
		"in parts": func(w http.ResponseWriter) { io.WriteString(w, text[:5]); io.WriteString(w, text[5:]) },
		"bytewise": func(w http.ResponseWriter) {
			for i := range text {
				io.WriteString(w, text[i:i+1])
			}
		},
		"from a reader":  func(w http.ResponseWriter) { w.(io.ReaderFrom).ReadFrom(strings.NewReader(text)) },
		"from a limited": func(w http.ResponseWriter) { io.CopyN(w, strings.NewReader(text+"more"), int64(len(text))) },
		"after a part": func(w http.ResponseWriter) {
			io.WriteString(w, text[:5])
			io.CopyN(w, strings.NewReader(text[5:]), 5)
		},
		"with empty writes": func(w http.ResponseWriter) {
			io.WriteString(w, "")
			io.WriteString(w, text)
			io.WriteString(w, "")
		},
		"after its header": func(w http.ResponseWriter) { w.WriteHeader(200); io.WriteString(w, text) },
	} {
		for _, bodies := range []int64{0, 3, 100} {
			for _, readsFrom := range []bool{false, true} {
				to := &bytesWriter{header: http.Header{}}
				h := (&Journal{bodies: bodies}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Length", fmt.Sprint(len(text)))
					write(w)
					require.Equal(t, text[:9], to.String(), "%s, %d, %t", name, bodies, readsFrom)
				}))
				if readsFrom {
					h.ServeHTTP(readingWriter{to}, httptest.NewRequest("GET", "/", nil))
				} else {
					h.ServeHTTP(to, httptest.NewRequest("GET", "/", nil))
				}
				require.Equal(t, text, to.String(), "%s, %d, %t", name, bodies, readsFrom)
			}
		}
	}
}

// If the registry's handler panics, the journal's handler does not write the byte that
// it holds back.
func TestNothingFollowsAnAbort(t *testing.T) {
	t.Parallel()
	to := &bytesWriter{header: http.Header{}}
	h := new(Journal).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3")
		io.WriteString(w, "abc")
		panic(http.ErrAbortHandler)
	}))
	require.Panics(t, func() { h.ServeHTTP(to, httptest.NewRequest("GET", "/", nil)) })
	require.Equal(t, "ab", to.String())
}

// A bytesWriter keeps the body of a response.
type bytesWriter struct {
	bytes.Buffer
	header http.Header
}

func (w *bytesWriter) Header() http.Header { return w.header }
func (w *bytesWriter) WriteHeader(int)     {}

// ReadFrom hides bytes.Buffer.ReadFrom, so that a bytesWriter is not an io.ReaderFrom.
func (w *bytesWriter) ReadFrom() {}

func (w readingWriter) ReadFrom(src io.Reader) (int64, error) { return w.Buffer.ReadFrom(src) }

// A readingWriter is a bytesWriter that is an io.ReaderFrom.
type readingWriter struct{ *bytesWriter }

// If a handler writes more or fewer bytes than its Content-Length, net/http notices
// this behind the journal's handler, too.
func TestContentLengthIsStillChecked(t *testing.T) {
	t.Parallel()
	for name, parts := range map[string][]string{
		"too short": {"0123"}, "too long": {"0123456789"}, "too long in parts": {"01234", "5"}, "with more than one byte": {"01234", "56"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var written error
			s := httptest.NewServer(new(Journal).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "5")
				for _, part := range parts {
					_, written = io.WriteString(w, part)
				}
			})))
			defer s.Close()
			resp, err := s.Client().Get(s.URL)
			require.NoError(t, err)
			defer resp.Body.Close()
			content, err := io.ReadAll(resp.Body)
			s.Close()
			if name == "too short" {
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				require.Equal(t, "0123", string(content))
			} else {
				require.ErrorIs(t, written, http.ErrContentLength)
			}
		})
	}
}

func TestKeepBodies(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 10)
	content := []byte("0123456789abcdef")
	d := digest.FromBytes(content)
	s.do(t, "POST", "/v2/app/blobs/uploads/?digest="+string(d), bytes.NewReader(content))
	s.do(t, "GET", "/v2/app/blobs/"+string(d), nil)
	s.do(t, "GET", "/v2/app/blobs/"+string(d), nil, "Range", "bytes=10-15")
	s.do(t, "HEAD", "/v2/app/blobs/"+string(d), nil)
	all := s.Requests().Records()
	require.Equal(t, "0123456789", string(all[0].RequestBody), "the journal keeps bytes up to the limit")
	require.Empty(t, all[0].ResponseBody)
	require.Empty(t, all[1].RequestBody)
	require.Equal(t, "0123456789", string(all[1].ResponseBody))
	require.EqualValues(t, 16, all[1].BytesOut)
	require.Equal(t, "abcdef", string(all[2].ResponseBody))
	require.Empty(t, all[3].ResponseBody)
}
