package registrytest_test

import (
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
)

// getPatiently is a client that heeds Retry-After.
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
