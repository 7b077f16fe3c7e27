package upstream_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/upstream"
)

// fronts maps each version of HTTP to the options of a proxy whose clients use it.
var fronts = map[string][]registrytest.Option{
	"HTTP/1.1": nil,
	"HTTP/2":   {registrytest.WithTLS()},
}

// front starts a proxy for the upstream at the URL. Its clients use the HTTP
// version.
func front(t *testing.T, version, url string, opts ...upstream.ProxyOption) *registrytest.Server {
	return registrytest.NewServer(t, append([]registrytest.Option{upstream.NewProxy(url, opts...)}, fronts[version]...)...)
}

// A zeros is an endless request body that counts the bytes read from it.
type zeros struct{ n atomic.Int64 }

func (z *zeros) Read(p []byte) (int, error) {
	clear(p)
	z.n.Add(int64(len(p)))
	return len(p), nil
}

// A client gets a response that the upstream sends before it has read the
// request body.
func TestEarlyResponses(t *testing.T) {
	const text = `{"errors":[{"code":"SIZE_INVALID"}]}`
	withoutLeaks(t, func(t *testing.T) {
		for _, status := range []int{413, 401} {
			one := raw(t, says(fmt.Sprintf("HTTP/1.1 %d No\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(text), text), false))
			two := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.ProtoMajor != 2 {
					t.Errorf("the upstream got a request over %s", r.Proto)
				}
				w.WriteHeader(status)
				io.WriteString(w, text)
			}))
			two.EnableHTTP2 = true
			two.StartTLS()
			t.Cleanup(two.Close)
			for version := range fronts {
				regs := map[string]*registrytest.Server{
					"HTTP/1.1": front(t, version, one),
					"HTTP/2":   front(t, version, two.URL, upstream.Transport(two.Client().Transport.(*http.Transport))),
				}
				for behind, reg := range regs {
					for _, expect := range []bool{false, true} {
						name := fmt.Sprintf("%d, %s to %s, expect %t", status, version, behind, expect)
						transport := reg.Transport().Clone()
						transport.ExpectContinueTimeout = time.Minute
						var body zeros
						r, err := http.NewRequestWithContext(t.Context(), "PUT", reg.URL+"/v2/app/blobs/uploads/x?digest="+string(digest.FromString("x")), &body)
						require.NoError(t, err)
						r.ContentLength = 1 << 40
						if expect {
							r.Header.Set("Expect", "100-continue")
						}
						resp, err := transport.RoundTrip(r)
						require.NoError(t, err, name)
						got, err := io.ReadAll(resp.Body)
						require.NoError(t, err, name)
						resp.Body.Close()
						require.Equal(t, status, resp.StatusCode, name)
						require.Equal(t, text, string(got), name)
						require.True(t, strings.HasPrefix(resp.Proto, version), "%s: %s", name, resp.Proto)
						if expect && version == "HTTP/1.1" && behind == "HTTP/1.1" {
							require.Zero(t, body.n.Load(), "%s: the body was sent", name)
						}
						transport.CloseIdleConnections()
					}
				}
			}
		}
	})
}

// If the upstream cuts a response short, the client gets an error and not a
// complete response, however the response indicates the length of its body.
func TestUpstreamThatBreaksOff(t *testing.T) {
	const half = "500 bytes"
	withoutLeaks(t, func(t *testing.T) {
		for name, text := range map[string]string{
			"length":               "Content-Length: 1000\r\n\r\n" + half,
			"length, nothing more": "Content-Length: 1000\r\n\r\n",
			"a chunk":              "Transfer-Encoding: chunked\r\n\r\n9\r\n" + half + "\r\n",
			"a part of a chunk":    "Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + half,
			"a chunk of no length": "Transfer-Encoding: chunked\r\n\r\n9\r\n" + half + "\r\nzz\r\n",
			"no last line":         "Transfer-Encoding: chunked\r\n\r\n9\r\n" + half + "\r\n0\r\n",
		} {
			for _, reset := range []bool{false, true} {
				url := raw(t, says("HTTP/1.1 200 OK\r\n"+text, reset))
				for version := range fronts {
					reg := front(t, version, url)
					resp, err := reg.Client().Get(reg.URL + "/v2/app/blobs/" + string(digest.FromString("x")))
					if err != nil {
						continue // The proxy failed before it sent the header.
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					require.Error(t, err, "%s, reset %t, %s: %q", name, reset, version, got)
					require.True(t, strings.HasPrefix(half, string(got)), "%s: %q", name, got)
				}
			}
		}
		// Without a length or chunks, only a reset shows that the response is
		// incomplete.
		reg := front(t, "HTTP/1.1", raw(t, says("HTTP/1.1 200 OK\r\n\r\n"+half, true)))
		if resp, err := reg.Client().Get(reg.URL + "/v2/"); err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
			require.Error(t, err)
		}
	})
}

// If the client cancels its request, the Proxy cancels the request to an
// upstream that does not respond.
func TestUpstreamThatDoesNotRespond(t *testing.T) {
	withoutLeaks(t, func(t *testing.T) {
		for version := range fronts {
			arrived, gone := make(chan bool), make(chan error)
			reg := front(t, version, raw(t, func(c *net.TCPConn, r *http.Request) {
				arrived <- true
				_, err := c.Read(make([]byte, 1))
				gone <- err
			}))
			ctx, cancel := context.WithCancel(t.Context())
			r, err := http.NewRequestWithContext(ctx, "GET", reg.URL+"/v2/", nil)
			require.NoError(t, err)
			go func() {
				<-arrived
				cancel()
			}()
			_, err = reg.Client().Do(r)
			require.ErrorIs(t, err, context.Canceled)
			require.Error(t, <-gone)
		}
	})
}

// When a client disconnects in the middle of a blob, or the proxy closes while a
// client has stopped reading, the request to the upstream ends.
func TestClientsThatStop(t *testing.T) {
	withoutLeaks(t, func(t *testing.T) {
		for version := range fronts {
			behind := registrytest.NewServer(t)
			blob := behind.Push(t, "app:v1", content.Image(content.LayerSizes(16<<20))).Layers[0]
			reg := front(t, version, behind.URL)
			get := func() io.ReadCloser {
				resp, err := reg.Client().Get(reg.URL + "/v2/app/blobs/" + string(blob.Digest))
				require.NoError(t, err)
				for range 100 {
					_, err := io.ReadFull(resp.Body, make([]byte, 1))
					require.NoError(t, err)
				}
				return resp.Body
			}
			get().Close()
			stopped := get() // reg.Close ends this request.

			// This client disconnects in the middle of an upload.
			resp, err := reg.Client().Post(reg.URL+"/v2/app/blobs/uploads/", "", nil)
			require.NoError(t, err)
			resp.Body.Close()
			session := resp.Header.Get("Location")
			ctx, cancel := context.WithCancel(t.Context())
			from, to := io.Pipe()
			r, err := http.NewRequestWithContext(ctx, "PATCH", reg.URL+session, from)
			require.NoError(t, err)
			r.ContentLength = 1 << 20
			go func() {
				to.Write(make([]byte, 1000))
				cancel()
				to.CloseWithError(context.Canceled)
			}()
			_, err = reg.Client().Do(r)
			require.ErrorIs(t, err, context.Canceled)
			require.NoError(t, reg.Close())
			stopped.Close()
			require.NoError(t, behind.Shutdown(t.Context()))
			for _, op := range []registry.Op{registry.GetBlob, registry.PatchUpload} {
				for _, r := range behind.Requests().Op(op).Records() {
					require.True(t, r.Gone || r.Err != nil, "%s: %v", version, r)
				}
			}
		}
	})
}

// Many clients pull and push at once through a proxy. Some disconnect in the middle
// of a blob; all other blobs arrive whole.
func TestManyClients(t *testing.T) {
	const clients, blobs = 64, 4
	withoutLeaks(t, func(t *testing.T) {
		for version := range fronts {
			behind := registrytest.NewServer(t)
			image := behind.Push(t, "app:v1", content.Image(content.LayerSizes(96<<10, 96<<10, 96<<10, 96<<10)))
			reg := front(t, version, behind.URL)
			client := reg.Client()
			var all sync.WaitGroup
			for i := range clients {
				all.Go(func() {
					for k := range blobs {
						layer := image.Layers[(i+k)%blobs]
						resp, err := client.Get(reg.URL + "/v2/app/blobs/" + string(layer.Digest))
						if err != nil {
							t.Error(err)
							return
						}
						if i == k {
							io.CopyN(io.Discard, resp.Body, 1000)
							resp.Body.Close()
							continue
						}
						text, err := io.ReadAll(resp.Body)
						resp.Body.Close()
						if err != nil || digest.FromBytes(text) != layer.Digest {
							t.Errorf("client %d did not get the whole blob, but %d bytes: %v", i, len(text), err)
						}
					}
					push(t, client, reg.URL, i, i%16 == 0)
				})
			}
			all.Wait()
			require.Equal(t, clients-clients/16, behind.Requests().Op(registry.PutUpload, registry.PostBlob).Status(201).Len())
		}
	})
}

// push pushes a blob. If leave is true, it disconnects in the middle of the
// blob.
func push(t *testing.T, client *http.Client, url string, i int, leave bool) {
	text := bytes.Repeat([]byte{byte(i)}, 32<<10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	from, to := io.Pipe()
	go func() {
		to.Write(text[:1000])
		if leave {
			cancel()
			to.CloseWithError(context.Canceled)
			return
		}
		to.Write(text[1000:])
		to.Close()
	}()
	defer from.Close()
	r, err := http.NewRequestWithContext(ctx, "POST", fmt.Sprintf("%s/v2/app/blobs/uploads/?digest=%s", url, digest.FromBytes(text)), from)
	if err != nil {
		t.Error(err)
		return
	}
	r.ContentLength = int64(len(text))
	resp, err := client.Do(r)
	if err == nil {
		resp.Body.Close()
	}
	switch {
	case leave && err == nil:
		t.Errorf("client %d left, but got the response %s", i, resp.Status)
	case !leave && err != nil:
		t.Errorf("client %d: %v", i, err)
	case !leave && resp.StatusCode != 201:
		t.Errorf("client %d got %s, want 201", i, resp.Status)
	}
}
