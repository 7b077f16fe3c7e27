package registrytest_test

import (
	"io"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
)

// getPatiently sends a GET. After a 503 it waits as Retry-After says, and tries again.
func getPatiently(c *http.Client, url string) (*http.Response, error) {
	for {
		resp, err := c.Get(url)
		if err != nil || resp.StatusCode != http.StatusServiceUnavailable {
			return resp, err
		}
		resp.Body.Close()
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil {
			return nil, err
		}
		time.Sleep(time.Duration(seconds) * time.Second)
	}
}

func TestBackOffOfFiveMinutesTakesNoTime(t *testing.T) {
	t.Parallel()
	busy := func(retryAfter string, times int) registry.Option {
		return registry.WithFaults(func(*registry.Request) *registry.Fault {
			if times--; times < 0 {
				return nil
			}
			return &registry.Fault{Serve: func(http.ResponseWriter, *registry.Request) error {
				return &registry.Error{Code: "BUSY", Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {retryAfter}}}
			}}
		})
	}
	for name, start := range map[string]func(*testing.T) *registrytest.Server{
		"in memory": func(t *testing.T) *registrytest.Server {
			return registrytest.NewServer(t, registrytest.WithInMemory(), busy("150", 2))
		},
		"in memory with TLS": func(t *testing.T) *registrytest.Server {
			return registrytest.NewServer(t, registrytest.WithInMemory(), registrytest.WithTLS(), busy("150", 2))
		},
		"by name": func(t *testing.T) *registrytest.Server {
			return registrytest.NewNetwork(t).Registry("registry.example.com", busy("150", 2))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name != "in memory" { // The other kinds of servers use HTTPS.
				testclient.NeedHTTP2InBubbles(t)
			}
			synctest.Test(t, func(t *testing.T) {
				reg := start(t)
				began := time.Now()

				resp, err := getPatiently(reg.Client(), reg.URL+"/v2/")
				require.NoError(t, err)
				resp.Body.Close()
				require.Equal(t, http.StatusOK, resp.StatusCode)
				require.Equal(t, 5*time.Minute, time.Since(began))
				require.Equal(t, 3, reg.Requests().Len())
			})
		})
	}
}

// A bubble ends only if all goroutines in it end, including those of idle
// connections that clients keep.
func TestBubbleEnds(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]registrytest.Option{
		"HTTP":     nil,
		"HTTP/2":   {registrytest.WithTLS()},
		"HTTPS":    {registrytest.WithTLS(registrytest.OnlyHTTP1)},
		"mTLS":     {registrytest.WithTLS(registrytest.RequireClientCert)},
		"refusing": {registrytest.WithTLS(registrytest.ExpiredCert)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "HTTP/2" || name == "mTLS" {
				testclient.NeedHTTP2InBubbles(t)
			}
			synctest.Test(t, func(t *testing.T) {
				reg := registrytest.NewServer(t, append(opts, registrytest.WithInMemory())...)
				app := reg.Push(t, "team/app:v1", content.Image(content.LayerSizes(1<<20)))
				blob := "/v2/team/app/blobs/" + string(app.Layers[0].Digest)
				clients := []*http.Client{reg.Client(), {Transport: reg.Transport().Clone()}}
				for _, c := range clients {
					for range 2 {
						resp, err := c.Get(reg.URL + blob)
						if name == "refusing" {
							require.Error(t, err)
							continue
						}
						require.NoError(t, err)
						if _, err := io.CopyN(io.Discard, resp.Body, 1000); err != nil {
							t.Error(err)
						}
						resp.Body.Close() // Most of the body has not been read.

						status, body := get(t, c, reg.URL+blob)
						require.Equal(t, http.StatusOK, status)
						require.Len(t, body, 1<<20)
					}
				}
				reg.Restart()
				if name != "refusing" {
					requireUp(t, reg)
				}
				reg.Stop()
			})
		})
	}
}

// Upload sessions expire by the clock of the bubble.
func TestUploadExpiresInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reg := registrytest.NewServer(t, registrytest.WithInMemory(), registry.WithUploadExpiry(24*time.Hour))
		resp, err := reg.Client().Post(reg.URL+"/v2/team/app/blobs/uploads/", "", nil)
		require.NoError(t, err)
		resp.Body.Close()
		upload, err := resp.Location()
		require.NoError(t, err)

		time.Sleep(24*time.Hour - time.Second)
		status, _ := get(t, reg.Client(), upload.String())
		require.Equal(t, http.StatusNoContent, status)
		time.Sleep(24 * time.Hour)
		status, _ = get(t, reg.Client(), upload.String())
		require.Equal(t, http.StatusNotFound, status)
	})
}
