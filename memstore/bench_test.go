package memstore

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

// filled returns a store whose repository app has n tagged manifests. All of
// them refer to the returned subject.
func filled(b *testing.B, n int) (*Store, digest.Digest) {
	s := New()
	subject := digest.FromString("subject")
	for i := range n {
		m := newManifest(i)
		m.Subject = subject
		if err := s.PutManifest(b.Context(), "app", m, []string{tagName(i)}, nil); err != nil {
			b.Fatal(err)
		}
	}
	return s, subject
}

func tagName(i int) string { return fmt.Sprintf("v%06d", i) }

// sizes are the numbers of tags that the benchmarks compare. An operation other
// than Clone should take about the same time for each.
var sizes = []int{1_000, 100_000}

func BenchmarkPutManifest(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, subject := filled(b, n)
			manifests := make([]registry.Manifest, 1000)
			for i := range manifests {
				manifests[i] = newManifest(n + i)
				manifests[i].Subject = subject
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				// Put each manifest with a new tag and then delete it, so that the store
				// keeps its size.
				m := manifests[i/2%len(manifests)]
				var err error
				if i%2 == 0 {
					err = s.PutManifest(b.Context(), "app", m, []string{tagName(i*7919%n) + "x"}, nil)
				} else {
					err = s.DeleteManifest(b.Context(), "app", m.Digest)
				}
				if err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

func BenchmarkMoveTag(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, subject := filled(b, n)
			two := []registry.Manifest{newManifest(0), newManifest(1)}
			two[0].Subject, two[1].Subject = subject, subject
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if err := s.PutManifest(b.Context(), "app", two[i%2], []string{tagName(i * 7919 % n)}, nil); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

func BenchmarkGetManifest(b *testing.B) {
	for _, n := range sizes {
		s, _ := filled(b, n)
		for _, ref := range []string{tagName(n / 2), string(newManifest(n / 2).Digest)} {
			kind := "tag"
			if len(ref) > 20 {
				kind = "digest"
			}
			b.Run(fmt.Sprint(n, kind), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := s.GetManifest(b.Context(), "app", ref); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkFirst(b *testing.B)     { benchmarkPage(b, 1) }
func BenchmarkPageOf100(b *testing.B) { benchmarkPage(b, 100) }

func benchmarkPage(b *testing.B, entries int) {
	for _, n := range sizes {
		s, subject := filled(b, n)
		b.Run(fmt.Sprint("tags", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				left := entries
				for _, err := range s.Tags(b.Context(), "app", tagName(n/2)) {
					if left--; err != nil || left == 0 {
						break
					}
				}
			}
		})
		b.Run(fmt.Sprint("referrers", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				left := entries
				for _, err := range s.Referrers(b.Context(), "app", subject, "sha256:8") {
					if left--; err != nil || left == 0 {
						break
					}
				}
			}
		})
	}
}

func BenchmarkUpload(b *testing.B) {
	const size = 64 << 20
	for name, announced := range map[string]int64{"announced": size, "unannounced": -1} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			var held int64
			for b.Loop() {
				s := New()
				w, err := s.CreateBlob(b.Context(), "app", announced)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := w.(io.ReaderFrom).ReadFrom(&zeros{n: size}); err != nil {
					b.Fatal(err)
				}
				if err := w.Commit(b.Context(), "sha256:any"); err != nil {
					b.Fatal(err)
				}
				held = s.blobs["sha256:any"].held()
			}
			b.ReportMetric(float64(held)/size, "held/byte")
		})
	}
}

func BenchmarkUploadSmall(b *testing.B) {
	const size = 1500
	for name, announced := range map[string]int64{"announced": size, "unannounced": -1} {
		b.Run(name, func(b *testing.B) {
			s := New()
			b.ReportAllocs()
			for b.Loop() {
				w, err := s.CreateBlob(b.Context(), "app", announced)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := w.(io.ReaderFrom).ReadFrom(&zeros{n: size}); err != nil {
					b.Fatal(err)
				}
				if err := w.Commit(b.Context(), "sha256:any"); err != nil {
					b.Fatal(err)
				}
				w.Close()
			}
		})
	}
}

func BenchmarkDownload(b *testing.B) {
	const size = 64 << 20
	s := New()
	w, err := s.CreateBlob(b.Context(), "app", size)
	if err != nil {
		b.Fatal(err)
	}
	io.Copy(w, &zeros{n: size})
	w.Commit(b.Context(), "sha256:any")
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		f, err := s.OpenBlob(context.Background(), "app", "sha256:any")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClone(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, _ := filled(b, n)
			for b.Loop() {
				s.Clone()
			}
		})
	}
}
