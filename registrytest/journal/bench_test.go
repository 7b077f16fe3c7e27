package journal

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
)

// BenchmarkManifestGet compares a registry with a journal to one without, called
// directly and over the network.
func BenchmarkManifestGet(b *testing.B) {
	for _, c := range []struct {
		name string
		opts func(*Journal) []registry.Option
	}{
		{"plain", func(*Journal) []registry.Option { return nil }},
		{"journal", func(j *Journal) []registry.Option {
			return []registry.Option{registry.WithRecorder(j)}
		}},
	} {
		var j Journal
		store := memstore.New()
		require.NoError(b, content.Put(b.Context(), store, "app:v1", content.Image(content.Layers(3))))
		opts := c.opts(&j)
		h := registry.New(store, opts...)
		if opts != nil {
			h = new(Journal).Handler(h)
		}
		// forget empties the journal now and then, so that its size does not count.
		forget := func(i int) {
			if i%1000 == 0 {
				j.mu.Lock()
				j.entries = nil
				j.mu.Unlock()
			}
		}
		b.Run("handler/"+c.name, func(b *testing.B) {
			r := httptest.NewRequest("GET", "/v2/app/manifests/v1", nil)
			for _, header := range []string{"Accept", "User-Agent", "Accept-Encoding"} {
				r.Header.Set(header, "something")
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				h.ServeHTTP(&discardWriter{header: http.Header{}}, r)
				forget(i)
			}
		})
		b.Run("network/"+c.name, func(b *testing.B) {
			s := httptest.NewServer(h)
			defer s.Close()
			client := s.Client()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				resp, err := client.Get(s.URL + "/v2/app/manifests/v1")
				require.NoError(b, err)
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				forget(i)
			}
		})
	}
}

type discardWriter struct{ header http.Header }

func (w *discardWriter) Header() http.Header         { return w.header }
func (w *discardWriter) WriteHeader(int)             {}
func (w *discardWriter) Write(p []byte) (int, error) { return len(p), nil }
