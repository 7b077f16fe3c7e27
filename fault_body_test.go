package registry_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// A writeCloser is the writer that a test returns from the Body or Wire of a
// fault.
type writeCloser struct {
	write func(p []byte) (int, error)
	close func() error
}

func (w writeCloser) Write(p []byte) (int, error) { return w.write(p) }
func (w writeCloser) Close() error                { return w.close() }

// anySize returns a [registry.Fault.Body] that calls wrap and does not use the
// size.
func anySize(wrap func(io.Writer) io.Writer) func(io.Writer, int64) io.Writer {
	return func(w io.Writer, _ int64) io.Writer { return wrap(w) }
}

// endsAfter returns a function that wraps a writer: the result writes n bytes,
// and then returns the error end.
func endsAfter(n int, end error) func(w io.Writer) io.Writer {
	return func(w io.Writer) io.Writer {
		return writeCloser{func(p []byte) (int, error) {
			m, err := w.Write(p[:min(n, len(p))])
			n -= m
			if err == nil && m < len(p) {
				err = end
			}
			return m, err
		}, func() error {
			if n == 0 {
				return end
			}
			return nil
		}}
	}
}

func TestFaultBody(t *testing.T) {
	bothVersions(t, func(t *faultTest) {
		for _, end := range []error{registry.CloseConnection, registry.ResetConnection, registry.HalfCloseConnection} {
			for _, n := range []int{0, 1, 1000, len(faultBlob) - 1} {
				got := t.do(&registry.Fault{Body: anySize(endsAfter(n, end))}, "GET", blobPath(), nil)
				require.NotNil(t, got.Response, "the client must get the header before the cut after %d bytes: %v", n, got.err)
				require.Equal(t, 200, got.StatusCode)
				t.requireEnded(end, got.err)
				require.Equal(t, faultBlob[:n], got.body)
				e := <-t.exchanges
				require.ErrorIs(t, e.Err, end)
				require.Equal(t, 200, e.Status)
				require.EqualValues(t, n, e.BytesOut)
			}
		}
		upper := func(w io.Writer) io.Writer {
			return writeCloser{
				func(p []byte) (int, error) { return w.Write(bytes.ToUpper(p)) },
				func() error {
					_, err := io.WriteString(w, "more")
					return err
				},
			}
		}
		got := t.do(&registry.Fault{Body: anySize(upper)}, "GET", blobPath(), nil)
		require.NoError(t, got.err)
		require.Equal(t, bytes.ToUpper(faultBlob), got.body, "the bytes beyond the Content-Length are not sent")

		longer := func(status int, h http.Header) int {
			h.Set("Content-Length", fmt.Sprint(len(faultBlob)+4))
			return status
		}
		for want, header := range map[int64]func(int, http.Header) int{
			int64(len(faultBlob)):     nil,
			int64(len(faultBlob)) + 4: longer,
			-1: func(status int, h http.Header) int {
				h.Del("Content-Length")
				return status
			},
		} {
			size := int64(0)
			t.do(&registry.Fault{Header: header, Body: func(w io.Writer, n int64) io.Writer {
				size = n
				return w
			}}, "GET", blobPath(), nil)
			<-t.exchanges
			require.Equal(t, want, size)
		}

		got = t.do(&registry.Fault{Header: longer, Body: anySize(upper)}, "GET", blobPath(), nil)
		require.NoError(t, got.err)
		require.Equal(t, "more", string(got.body[len(faultBlob):]))

		got = t.do(&registry.Fault{Header: longer, Body: anySize(upper)}, "HEAD", blobPath(), nil)
		require.NoError(t, got.err)
		require.Empty(t, got.body)

		got = t.do(&registry.Fault{Body: anySize(upper), Serve: func(http.ResponseWriter, *registry.Request) error {
			return errors.New("broken")
		}}, "GET", blobPath(), nil)
		require.Equal(t, 500, got.StatusCode)
		require.Contains(t, string(got.body), "BROKEN", "Body also wraps the body of an error")
	})
}

func TestFaultWire(t *testing.T) {
	bothVersions(t, func(t *faultTest) {
		for _, end := range []error{registry.CloseConnection, registry.ResetConnection, registry.HalfCloseConnection} {
			got := t.do(&registry.Fault{Wire: endsAfter(12, end)}, "GET", blobPath(), nil)
			require.Error(t, got.err)
			if t.h2 {
				require.Equal(t, faultBlob[:12], got.body, "with HTTP/2, Wire wraps only the writer of the body")
			} else {
				require.Nil(t, got.Response)
			}
		}
		same := func(w io.Writer) io.Writer { return w }
		got := t.do(&registry.Fault{Wire: same}, "GET", blobPath(), nil)
		require.NoError(t, got.err)
		require.Equal(t, faultBlob, got.body)
		require.Equal(t, !t.h2, got.Close, "with HTTP/1.1, the response is the last on its connection")
		require.Equal(t, "registry/2.0", got.Header.Get("Docker-Distribution-Api-Version"))

		short := func(status int, h http.Header) int {
			h.Set("Content-Length", "10")
			return status
		}
		got = t.do(&registry.Fault{Header: short, Wire: same}, "GET", blobPath(), nil)
		require.NoError(t, got.err)
		require.Equal(t, faultBlob[:10], got.body)
	})
}

// rawGet sends GET /v2/ to a registry that injects the fault, and returns all
// bytes of the response.
func rawGet(t *testing.T, f *registry.Fault) (string, error) {
	server := httptest.NewServer(registry.New(memstore.New(), registry.WithFaults(func(*registry.Request) *registry.Fault { return f })))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /v2/ HTTP/1.1\r\nHost: test\r\n\r\n")
	require.NoError(t, err)
	all, err := io.ReadAll(conn)
	return string(all), err
}

// TestFaultWireBytes reads the connection itself, because a client of net/http
// does not show all effects of a Wire.
func TestFaultWireBytes(t *testing.T) {
	t.Parallel()
	t.Run("bytes beyond the Content-Length are sent", func(t *testing.T) {
		got, err := rawGet(t, &registry.Fault{
			Header: func(status int, h http.Header) int {
				h.Set("Content-Length", "1")
				return status
			},
			Wire: func(w io.Writer) io.Writer { return w },
		})
		require.NoError(t, err)
		header, body, _ := strings.Cut(got, "\r\n\r\n")
		require.True(t, strings.HasPrefix(header, "HTTP/1.1 200 OK\r\n"), header)
		require.Contains(t, header, "Content-Length: 1\r\n")
		require.Contains(t, header, "Date: ")
		require.Equal(t, "{}", body)
	})
	for _, test := range []struct{ end, want error }{
		{registry.CloseConnection, nil},
		{registry.ResetConnection, syscall.ECONNRESET},
	} {
		t.Run("in the header: "+test.end.Error(), func(t *testing.T) {
			if runtime.GOOS == "windows" {
				t.Skip("on Windows, a reset drops the bytes that the client has not read yet")
			}
			got, err := rawGet(t, &registry.Fault{Wire: endsAfter(12, test.end)})
			require.True(t, errors.Is(err, test.want), "%v", err)
			require.Equal(t, "HTTP/1.1 200", got)
		})
	}
}

// After HalfCloseConnection, the client can still send.
func TestFaultHalfClose(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	server := httptest.NewServer(registry.New(memstore.New(),
		registry.WithFaults(func(*registry.Request) *registry.Fault {
			return &registry.Fault{Before: func(*registry.Request) error { return registry.HalfCloseConnection }}
		}),
		registry.WithRecorder(registry.RecorderFunc(func(*registry.Exchange) { close(ended) })),
	))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /v2/ HTTP/1.1\r\nHost: test\r\n\r\n")
	require.NoError(t, err)
	_, err = bufio.NewReader(conn).ReadByte()
	require.ErrorIs(t, err, io.EOF)
	_, err = io.WriteString(conn, strings.Repeat("still here\n", 1000))
	require.NoError(t, err)
	select {
	case <-ended:
		t.Fatal("the connection was closed for reading as well")
	default:
	}
	conn.Close()
	<-ended
}

func TestFaultWithoutConnection(t *testing.T) {
	t.Parallel()
	for _, f := range []*registry.Fault{
		{Before: func(*registry.Request) error { return registry.ResetConnection }},
		{Body: anySize(endsAfter(1, registry.CloseConnection))},
		{Wire: endsAfter(1, registry.HalfCloseConnection)},
	} {
		h := registry.New(memstore.New(), registry.WithFaults(func(*registry.Request) *registry.Fault { return f }))
		require.PanicsWithValue(t, http.ErrAbortHandler, func() {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/", nil))
		})
	}
}
