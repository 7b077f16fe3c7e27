package layout_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/layout"
)

// held returns the number of bytes in live objects on the heap.
func held() int {
	runtime.GC()
	runtime.GC() // The first collection runs finalizers; the second frees the finalized objects.
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// largeIndex returns an index.json with n tagged images, whose files are missing.
func largeIndex(n int) string {
	entries := make([]string, n)
	for i := range entries {
		entries[i] = fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"%s","size":442,"annotations":{"org.opencontainers.image.ref.name":"v%d"}}`,
			digest.FromString(fmt.Sprint(i)), i)
	}
	return indexText(entries...)
}

// TestMemoryOfAnIndex checks that an entry of an index takes less than 200 bytes
// of memory in addition to its text in index.json.
func TestMemoryOfAnIndex(t *testing.T) {
	// Not parallel: the test measures memory.
	const n = 5000
	dir, text := emptyLayout(t), largeIndex(n)
	writeFile(t, dir, "index.json", text)
	before := held()
	s := open(t, dir)
	require.Less(t, (held()-before-len(text))/n, 200)
	runtime.KeepAlive(s)
	runtime.KeepAlive(text)
}

// TestWrittenIndexIsFreed pushes to a layout with a large index. The store does
// not keep the text that it writes, and writes all of it.
func TestWrittenIndexIsFreed(t *testing.T) {
	// Not parallel: the test measures memory.
	const n = 5000
	dir, text := emptyLayout(t), largeIndex(n)
	writeFile(t, dir, "index.json", text)
	s := open(t, dir)
	before := held()
	put(t, s, "app", 0, "new")
	require.Less(t, held()-before, len(text)/2)
	runtime.KeepAlive(s)
	written, err := os.ReadFile(filepath.Join(dir, "index.json"))
	require.NoError(t, err)
	unchanged, _ := strings.CutSuffix(text, "]}")
	require.True(t, strings.HasPrefix(string(written), unchanged))
	require.Len(t, collect(t, open(t, dir).Tags(t.Context(), "app", "")), n+1)
}

// TestReplacedIndexIsFreed replaces index.json many times, and keeps the
// descriptors, manifests and names that the store returned for each version.
// These values must not keep the text of index.json in memory.
func TestReplacedIndexIsFreed(t *testing.T) {
	// Not parallel: the test measures memory.
	const rounds, padding = 20, 256 << 10
	dir := layoutOf(t, 3*rounds)
	s := open(t, dir)
	var kept []any
	var entries []string
	before := held()
	for i := range rounds {
		tag := fmt.Sprint("v", i)
		entries = append(entries, entryText(i, tag), entryText(rounds+i, "team/app:"+tag), entryText(2*rounds+i, ""))
		writeFile(t, dir, "index.json", strings.Replace(indexText(entries...), "{", `{"padding":"`+strings.Repeat("x", padding)+`",`, 1))
		d, err := s.StatManifest(t.Context(), "app", tag)
		require.NoError(t, err)
		require.Equal(t, smallImage(i).Digest, d.Digest)
		m, err := s.GetManifest(t.Context(), "team/app", tag)
		require.NoError(t, err)
		kept = append(kept, d, m, collect(t, s.Repositories(t.Context(), "")), collect(t, s.Tags(t.Context(), "app", "")))
		require.NoError(t, s.PutManifest(t.Context(), "app", smallImage(rounds+i), []string{tag}, nil))
		require.NoError(t, s.PutManifest(t.Context(), "app", smallImage(2*rounds+i), []string{"new" + tag}, nil))
	}
	// This index.json has a new entry, and its other tags name the manifests from
	// before the store's own pushes. The store makes those pushes again.
	entries = append(entries, entryText(0, "new"))
	writeFile(t, dir, "index.json", indexText(entries...))
	d, err := s.StatManifest(t.Context(), "app", "v0")
	require.NoError(t, err)
	require.Equal(t, smallImage(rounds).Digest, d.Digest)
	require.Less(t, held()-before, rounds*padding/4)
	runtime.KeepAlive(kept)
}

// BenchmarkOpenLarge opens a layout with 200,000 tagged images.
func BenchmarkOpenLarge(b *testing.B) {
	dir := emptyLayout(b)
	require.NoError(b, os.WriteFile(filepath.Join(dir, "index.json"), []byte(largeIndex(200_000)), 0o666))
	before, after := 0, 0
	for b.Loop() {
		b.StopTimer()
		before = held()
		b.StartTimer()
		s, err := layout.Open(dir)
		require.NoError(b, err)
		b.StopTimer()
		after = held()
		s.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(after-before)/1e6, "MB-held")
}
