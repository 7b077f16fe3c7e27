package migrate

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

func TestDownloadIsResumed(t *testing.T) {
	blob := make([]byte, 100_000)
	rand.NewChaCha8([32]byte{}).Read(blob)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(blob))
	}))
	t.Cleanup(upstream.Close)
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, "registry", "127.0.0.1:0", strings.TrimPrefix(upstream.URL, "http://"))
	require.NoError(t, proxy.Start())
	t.Cleanup(proxy.Stop)
	_, err := proxy.Toxics.AddToxicJson(strings.NewReader(
		`{"type": "limit_data", "stream": "downstream", "toxicity": 1, "attributes": {"bytes": 40000}}`))
	require.NoError(t, err)

	got, err := download(http.DefaultClient, "http://"+proxy.Listen+"/v2/app/blobs/sha256:…")

	require.NoError(t, err)
	require.Equal(t, blob, got)
	// The limit includes the header, so the offset at which a body is cut is
	// unknown.
}
