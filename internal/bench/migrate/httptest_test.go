package migrate

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

func TestDigestOf(t *testing.T) {
	const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",` +
		`"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`
	attempts := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet && r.URL.Path == "/v2/team/app/manifests/v1":
			if attempts++; attempts == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			w.Header().Set("Docker-Content-Digest", digest.FromString(manifest).String())
			io.WriteString(w, manifest)
		case r.Method == http.MethodGet && r.URL.Path == "/v2/team/app/manifests/v2":
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`)
		default:
			t.Errorf("unexpected request: %s %s", r.Method, r.URL)
		}
	}))
	t.Cleanup(server.Close)

	got, err := digestOf(server.Client(), server.URL+"/v2/team/app/manifests/v1")

	require.NoError(t, err)
	require.Equal(t, digest.FromString(manifest), got)
	require.Equal(t, 2, attempts)
	_, err = digestOf(server.Client(), server.URL+"/v2/team/app/manifests/v2")
	require.ErrorContains(t, err, "404")
}
