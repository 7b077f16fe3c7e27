// Package witness compares profiles with the real registries that they imitate.
package witness

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/profile"
)

// serve starts CNCF Distribution with its default configuration. The argument
// storage is text to add to the configuration of the storage.
func serve(t *testing.T, storage string) *httptest.Server {
	t.Helper()
	config, err := configuration.Parse(strings.NewReader(
		"version: 0.1\nlog: {level: error}\nstorage: {inmemory: {}, maintenance: {uploadpurging: {enabled: false}}" + storage + "}\n"))
	require.NoError(t, err)
	logrus.SetOutput(io.Discard) // sets the output for the whole process
	server := httptest.NewServer(handlers.NewApp(context.Background(), config))
	t.Cleanup(server.Close)
	return server
}

// diff returns the quirks of the profile that the registry does not have, and
// the content that the comparison could not delete from the registry.
func diff(t *testing.T, p *profile.Profile, server *httptest.Server) (differ []profile.Quirk, left []string) {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	results, err := p.Diff(t.Context(), profile.Target{URL: server.URL, Prefix: "probe", Transport: transport})
	require.NoError(t, err)
	for r := range results {
		require.NoError(t, r.Err, r.Quirk)
		if !r.Holds() {
			t.Logf("%s: want %s, got %s", r.Quirk, r.Want, r.Got)
			differ = append(differ, r.Quirk)
		}
		left = append(left, r.Left...)
	}
	return differ, left
}

// Distribution 3 has all quirks of the profile Distribution3.
func TestDistribution3(t *testing.T) {
	server := serve(t, "")
	differ, left := diff(t, profile.Distribution3(), server)
	require.Empty(t, differ)
	require.NotEmpty(t, left, "the default configuration does not permit deletion")

	// Distribution 3 differs from the profile of version 2.8 in three quirks.
	differ, _ = diff(t, profile.Distribution28(), server)
	require.Equal(t, []profile.Quirk{"distribution-2.8.tags-in-one-page", "distribution-2.8.chunk-order-unchecked", "distribution-2.8.upload-state"}, differ)
}

// If deletion is enabled, the comparison leaves no content in the registry.
func TestDistribution3Deletes(t *testing.T) {
	server := serve(t, ", delete: {enabled: true}")
	differ, left := diff(t, profile.Distribution3(profile.Except("distribution.delete-disabled")), server)
	require.Empty(t, differ)
	require.Empty(t, left)

	differ, left = diff(t, profile.Distribution3(), server)
	require.Equal(t, []profile.Quirk{"distribution.delete-disabled"}, differ)
	require.Empty(t, left)
}
