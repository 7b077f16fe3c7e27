package fault_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/fault"
)

// overBoth runs the test twice, over HTTP/1.1 and over HTTP/2, each time in a bubble.
func overBoth(t *testing.T, test func(t *testing.T, s *faultServer, h2 bool)) {
	for _, h2 := range []bool{false, true} {
		name, opts := "HTTP/1.1", []registrytest.Option{registrytest.WithInMemory()}
		if h2 {
			name, opts = "HTTP/2", append(opts, registrytest.WithTLS())
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if h2 {
				testclient.NeedHTTP2InBubbles(t)
			}
			synctest.Test(t, func(t *testing.T) { test(t, newFaultServer(t, opts...), h2) })
		})
	}
}

// send sends a request. It returns the status of the response, or 0 without one.
func (s *faultServer) send(ctx context.Context, method, target string, body []byte) int {
	req, err := http.NewRequestWithContext(ctx, method, s.URL+target, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	if method == "PUT" {
		req.Header.Set("Content-Type", "application/vnd.oci.image.index.v1+json")
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

var emptyIndex = []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)

// waiting lists rules that delay a request for hours.
var waiting = []struct {
	rule, method, target string
	body                 int
}{
	{"get-blob delay=5h", "GET", "blob", 0},
	{"get-blob delay=0s..2562047h47m16.854775807s", "GET", "blob", 0}, // up to the longest possible duration
	{"get-blob stall=0", "GET", "blob", 0},
	{"get-blob stall=100", "GET", "blob", 0},
	{"get-blob stall=100:5h", "GET", "blob", 0},
	{"get-blob stall=-1", "GET", "blob", 0},
	{"get-blob throttle=1:0s throttle=1", "GET", "blob", 0},
	{"put-manifest delay=5h", "PUT", "/v2/app/manifests/new", 100},
	{"put-manifest after-commit delay=5h", "PUT", "/v2/app/manifests/new", 0},
	{"put-manifest stall=10", "PUT", "/v2/app/manifests/new", 100},
	{"put-manifest throttle=1 delay=5h", "PUT", "/v2/app/manifests/new", 1000},
	{"patch-upload delay=5h", "PATCH", "upload", 1000},
	{"patch-upload stall=10", "PATCH", "upload", 1000},
	{"patch-upload stall=10:5h", "PATCH", "upload", 1 << 20},
	{"patch-upload throttle=1", "PATCH", "upload", 100_000},
	{"put-upload after-commit delay=5h", "PUT", "upload?digest=", 0},
}

// begin sets rule i of waiting, and sends the request that this rule delays. The
// client gives up when ctx ends. The channel is closed when the client is done.
func (s *faultServer) begin(ctx context.Context, i int) <-chan struct{} {
	w := waiting[i]
	target, body := w.target, bytes.Repeat([]byte("x"), w.body)
	if strings.HasPrefix(w.rule, "put-manifest after") {
		body = emptyIndex
	}
	if target == "blob" {
		target = "/v2/app/blobs/" + string(digest.FromBytes(s.blob))
	}
	if query, ok := strings.CutPrefix(target, "upload"); ok {
		resp, err := s.Client().Post(s.URL+"/v2/app/blobs/uploads/", "", nil)
		require.NoError(s.t, err)
		resp.Body.Close()
		target = resp.Header.Get("Location")
		if query != "" {
			target += query + string(digest.FromBytes(body))
		}
	}
	rule, err := fault.Parse(w.rule)
	require.NoError(s.t, err)
	s.Fault(s.t, rule)
	done := make(chan struct{})
	go func() {
		s.send(ctx, w.method, target, body)
		close(done)
	}()
	return done
}

func TestWaitEndsWhenTheClientGoesAway(t *testing.T) {
	t.Parallel()
	for i, w := range waiting {
		t.Run(w.rule, func(t *testing.T) {
			overBoth(t, func(t *testing.T, s *faultServer, _ bool) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				<-s.begin(ctx, i)
				synctest.Wait()
				last := s.Requests().Last()
				require.False(t, last.Ongoing)
				require.Equal(t, time.Second, last.Duration)
			})
		})
	}
}

func TestWaitEndsWhenTheServerIsClosed(t *testing.T) {
	t.Parallel()
	for i, w := range waiting {
		if i%3 > 0 {
			continue
		}
		t.Run(w.rule, func(t *testing.T) {
			overBoth(t, func(t *testing.T, s *faultServer, _ bool) {
				done := s.begin(t.Context(), i)
				time.Sleep(time.Second)
				s.Close()
				last := s.Requests().Last()
				require.False(t, last.Ongoing)
				require.Equal(t, time.Second, last.Duration)
				<-done
			})
		})
	}
}

// If a client has more to send than a waiting fault reads ahead, net/http does not
// notice over HTTP/1.1 that the client goes away, and the wait goes on.
func TestWaitBeforeALargeBody(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, s *faultServer, h2 bool) {
		s.Fault(t, fault.On(registry.PatchUpload).Delay(5*time.Hour))
		resp, err := s.Client().Post(s.URL+"/v2/app/blobs/uploads/", "", nil)
		require.NoError(t, err)
		resp.Body.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s.send(ctx, "PATCH", resp.Header.Get("Location"), make([]byte, fault.MaxAhead+100_000))
		time.Sleep(10 * time.Hour)
		want := 5 * time.Hour
		if h2 {
			want = time.Second
		}
		require.Equal(t, want, s.Requests().Last().Duration)
	})
}

// All waits of all rules come before the effects on the body of the request, in any
// order of the rules: a wait reads the body ahead without these effects.
func TestWaitsOfSeveralRules(t *testing.T) {
	t.Parallel()
	delay := fault.On(registry.PatchUpload).Delay(5 * time.Minute)
	for _, rules := range [][]fault.Rule{
		{fault.On(registry.PatchUpload).Stall(10, 5*time.Minute), delay},
		{fault.On(registry.PatchUpload).Acknowledge(100), fault.On(registry.PatchUpload).Stall(10, 5*time.Minute), delay},
		{delay, fault.On(registry.PatchUpload).Delay(4 * time.Minute), fault.On(registry.PatchUpload).Stall(10, time.Minute)},
		{fault.On(registry.PatchUpload).Close(fault.AtByte(10)).Delay(time.Minute), fault.On(registry.PatchUpload).Keep(10).Optional(), fault.On(registry.PatchUpload).Delay(9 * time.Minute)},
	} {
		overBoth(t, func(t *testing.T, s *faultServer, _ bool) {
			resp, err := s.Client().Post(s.URL+"/v2/app/blobs/uploads/", "", nil)
			require.NoError(t, err)
			resp.Body.Close()
			for _, rule := range rules {
				s.Fault(t, rule)
			}
			s.send(t.Context(), "PATCH", resp.Header.Get("Location"), make([]byte, 1000))
			synctest.Wait()
			require.Equal(t, 10*time.Minute, s.Requests().Last().Duration)
		})
	}
}

// The operation gets the whole body, with the bytes that a waiting fault read ahead.
func TestWaitKeepsTheBody(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{
		"post-blob delay=1s", "post-blob stall=7:1s", "post-blob stall=-1:1s stall=0:1s delay=0s..1s delay=1s", "post-blob throttle=1000000 throttle=1000:0s",
		"post-blob delay=0s..1us throttle=9223372036854775807",
	} {
		for _, size := range []int{0, 1, 100_000, fault.MaxAhead + 1} {
			overBoth(t, func(t *testing.T, s *faultServer, _ bool) {
				parsed, err := fault.Parse(rule)
				require.NoError(t, err)
				_, err = s.rules.Add(parsed)
				require.NoError(t, err)
				body := bytes.Repeat([]byte("0123456"), size/7+1)[:size]
				require.Equal(t, 201, s.send(t.Context(), "POST", "/v2/app/blobs/uploads/?digest="+string(digest.FromBytes(body)), body), "%s: %d bytes", rule, size)
			})
		}
	}
}

// If a client expects 100-continue, a fault that waits does not make it send the body.
func TestWaitDoesNotAskForTheBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultServer(t, registrytest.WithInMemory())
		s.Fault(t, fault.On(registry.PutManifest).Delay(time.Minute).Status(503))
		transport := s.Transport().Clone()
		transport.ExpectContinueTimeout = time.Hour
		defer transport.CloseIdleConnections()
		body := &readCounter{Reader: bytes.NewReader(emptyIndex)}
		req, err := http.NewRequestWithContext(t.Context(), "PUT", s.URL+"/v2/app/manifests/new", body)
		require.NoError(t, err)
		req.ContentLength = int64(len(emptyIndex))
		req.Header.Set("Expect", "100-continue")
		resp, err := (&http.Client{Transport: transport}).Do(req)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 503, resp.StatusCode)
		require.Zero(t, body.n)
	})
}

type readCounter struct {
	io.Reader
	n int
}

func (r *readCounter) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += n
	return n, err
}
