package fault_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/inject"
)

// benchWriter is a ResponseWriter that drops the response.
type benchWriter struct{ header http.Header }

func (w *benchWriter) Header() http.Header         { return w.header }
func (w *benchWriter) WriteHeader(int)             { clear(w.header) }
func (w *benchWriter) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkManifestWithoutFaults compares a handler without rules to one that has a
// rule for other requests. Such a rule should cost nothing.
func BenchmarkManifestWithoutFaults(b *testing.B) {
	var none, others inject.Rules
	if _, err := others.Add(fault.On(registry.PutManifest).Repo("team/*").Status(503)); err != nil {
		b.Fatal(err)
	}
	for _, bench := range []struct {
		name string
		opts []registry.Option
	}{
		{"no hook", nil},
		{"no rule", []registry.Option{registry.WithFaults(none.Inject)}},
		{"a rule for others", []registry.Option{registry.WithFaults(others.Inject)}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			store := memstore.New()
			require.NoError(b, content.Put(b.Context(), store, "app:v1", content.Image(content.Layers(3))))
			h := registry.New(store, bench.opts...)
			r, err := http.NewRequest("GET", "/v2/app/manifests/v1", nil)
			require.NoError(b, err)
			w := &benchWriter{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}
