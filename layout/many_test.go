package layout

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestManyTagsInLinearTime gives a manifest many tags, moves them to a second
// manifest, and deletes the second. It measures allocated bytes, because times
// vary between runs: if a write copied the list of entries for each tag, the
// bytes would grow with the square of the number of tags.
func TestManyTagsInLinearTime(t *testing.T) {
	// Not parallel: the test measures allocations.
	ctx := t.Context()
	writes := func(n int) (allocated [3]float64) {
		s, dir := openTree(t)
		tags := make([]string, n)
		for i := range tags {
			tags[i] = fmt.Sprintf("v%d", i)
		}
		for i, write := range []func() error{
			func() error { return s.PutManifest(ctx, "app", numbered(0), tags, nil) },
			func() error { return s.PutManifest(ctx, "app", numbered(1), tags, nil) },
			func() error { return s.DeleteManifest(ctx, "app", numbered(1).Digest) },
		} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			require.NoError(t, write())
			runtime.ReadMemStats(&after)
			allocated[i] = float64(after.TotalAlloc - before.TotalAlloc)
			want := []int{n, n, 0}[i]
			require.Len(t, tagsIn(t, s, "app"), want)
			require.Len(t, tagsIn(t, reopened(t, dir), "app"), want)
		}
		_, err := s.StatManifest(ctx, "app", string(numbered(0).Digest))
		require.NoError(t, err, "the manifest without tags stays")
		return allocated
	}
	few, many := writes(1_000), writes(8_000)
	for i, write := range []string{"put", "move", "delete"} {
		require.Less(t, many[i], 16*few[i], write)
	}
}
