package memstore

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// A zeros is a reader of n zero bytes that calls check, if not nil, before each
// read.
type zeros struct {
	n     int64
	check func()
}

func (z *zeros) Read(p []byte) (int, error) {
	if z.check != nil {
		z.check()
	}
	n := min(int64(len(p)), z.n)
	if z.n -= n; n == 0 {
		return 0, io.EOF
	}
	clear(p[:n])
	return int(n), nil
}

func create(t testing.TB, s *Store, repo string, announced int64) *writer {
	t.Helper()
	w, err := s.CreateBlob(t.Context(), repo, announced)
	require.NoError(t, err)
	return w.(*writer)
}

func push(t testing.TB, s *Store, repo string, data []byte) digest.Digest {
	t.Helper()
	w := create(t, s, repo, int64(len(data)))
	_, err := w.Write(data)
	require.NoError(t, err)
	d := digest.FromBytes(data)
	require.NoError(t, w.Commit(t.Context(), d))
	require.NoError(t, w.Close())
	return d
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func newManifest(i int) registry.Manifest {
	data := fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[],"annotations":{"n":"%d"}}`, i)
	return registry.Manifest{MediaType: "application/vnd.oci.image.index.v1+json", Digest: digest.FromBytes(data), Content: data}
}

func TestCloneIsIndependent(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	a := New()
	blob := push(t, a, "app", []byte("blob"))
	subject, sbom := newManifest(0), newManifest(1)
	sbom.Subject = subject.Digest
	require.NoError(t, a.PutManifest(ctx, "app", subject, []string{"v1", "v2"}, nil))
	require.NoError(t, a.PutManifest(ctx, "app", sbom, nil, nil))
	inFlight := create(t, a, "app", -1)

	// look lists everything in a store.
	look := func(s *Store) (seen []string) {
		for repo, err := range s.Repositories(ctx, "") {
			require.NoError(t, err)
			seen = append(seen, repo)
			for tag, err := range s.Tags(ctx, repo, "") {
				require.NoError(t, err)
				m, err := s.GetManifest(ctx, repo, tag)
				require.NoError(t, err)
				seen = append(seen, repo+":"+tag+"@"+string(m.Digest)+m.MediaType)
			}
			for d, err := range s.Referrers(ctx, repo, subject.Digest, "") {
				require.NoError(t, err)
				seen = append(seen, repo+" referrer "+string(d.Digest)+d.MediaType)
			}
			_, err := s.StatBlob(ctx, repo, blob)
			seen = append(seen, fmt.Sprint(repo, " blob ", err == nil))
			_, err = s.StatManifest(ctx, repo, string(sbom.Digest))
			seen = append(seen, fmt.Sprint(repo, " manifest ", err == nil))
		}
		for d, shared := range s.blobs {
			seen = append(seen, fmt.Sprintf("%s in %d repositories", d, shared.repos))
		}
		return seen
	}
	b := a.Clone()
	before := look(a)
	require.Equal(t, before, look(b))

	for name, change := range map[string]func(s *Store) error{
		"PutManifest with tags": func(s *Store) error { return s.PutManifest(ctx, "app", sbom, []string{"v2", "v3"}, nil) },
		"PutManifest with another type": func(s *Store) error {
			m := sbom
			m.MediaType = "application/vnd.docker.distribution.manifest.list.v2+json"
			return s.PutManifest(ctx, "app", m, nil, nil)
		},
		"PutManifest in a new repository": func(s *Store) error { return s.PutManifest(ctx, "new", subject, nil, nil) },
		"DeleteManifest":                  func(s *Store) error { return s.DeleteManifest(ctx, "app", subject.Digest) },
		"DeleteManifest of the referrer":  func(s *Store) error { return s.DeleteManifest(ctx, "app", sbom.Digest) },
		"DeleteTag":                       func(s *Store) error { return s.DeleteTag(ctx, "app", "v1") },
		"DeleteBlob":                      func(s *Store) error { return s.DeleteBlob(ctx, "app", blob) },
		"MountBlob":                       func(s *Store) error { return s.MountBlob(ctx, "other", blob, "app") },
	} {
		first, second := b.Clone(), b.Clone()
		require.NoError(t, change(first), name)
		require.NotEqual(t, before, look(first), name)
		require.Equal(t, before, look(second), name)
		require.Equal(t, before, look(b), name)
		require.NoError(t, change(second), "%s fails after the same change in another clone", name)
		require.Equal(t, look(first), look(second), name)
	}

	require.NoError(t, inFlight.Commit(ctx, digest.FromString("")))
	_, err := a.StatBlob(ctx, "app", digest.FromString(""))
	require.NoError(t, err)
	_, err = b.StatBlob(ctx, "app", digest.FromString(""))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestCloneCopiesNoContent(t *testing.T) {
	// Not parallel: the test measures allocations.
	s := New()
	push(t, s, "app", make([]byte, 16<<20))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	clone := s.Clone()
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<10))
	runtime.KeepAlive(clone)
}

func TestReadersDoNotWaitForACheck(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := New()
	blob := push(t, s, "app", []byte("blob"))
	m := newManifest(0)
	require.NoError(t, s.PutManifest(ctx, "app", m, []string{"v1"}, nil))
	err := s.PutManifest(ctx, "app", newManifest(1), []string{"v1"}, func(string, digest.Digest) error {
		got, err := s.GetManifest(ctx, "app", "v1")
		require.NoError(t, err)
		require.Equal(t, m, got)
		_, err = s.OpenBlob(ctx, "app", blob)
		require.NoError(t, err)
		for range s.Repositories(ctx, "") {
		}
		for range s.Tags(ctx, "app", "") {
		}
		for range s.Referrers(ctx, "app", m.Digest, "") {
		}
		return nil
	})
	require.NoError(t, err)
}

func TestNobodyWaitsForABody(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := New()
	blob := push(t, s, "app", random(100_000))
	f, err := s.OpenBlob(ctx, "app", blob)
	require.NoError(t, err)
	use := func() {
		push(t, s, "app", []byte("another"))
		require.NoError(t, s.PutManifest(ctx, "app", newManifest(0), []string{"v1"}, nil))
		s.Clone()
	}
	_, err = f.(io.WriterTo).WriteTo(writeFunc(func(p []byte) (int, error) { use(); return len(p), nil }))
	require.NoError(t, err)
	w := create(t, s, "app", -1)
	_, err = w.ReadFrom(readFunc(func([]byte) (int, error) { use(); return 0, io.EOF }))
	require.NoError(t, err)
}

type writeFunc func(p []byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

func TestListsStopWhenTheContextIsDone(t *testing.T) {
	t.Parallel()
	s := New()
	tags := make([]string, 3*batchSize)
	for i := range tags {
		tags[i] = fmt.Sprintf("v%04d", i)
	}
	require.NoError(t, s.PutManifest(t.Context(), "app", newManifest(0), tags, nil))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	var last error
	for _, err := range s.Tags(ctx, "app", "") {
		cancel()
		n++
		last = err
	}
	require.ErrorIs(t, last, context.Canceled)
	require.LessOrEqual(t, n, batchSize+1)
}

func TestListsOfAnyLengthAreWhole(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	subject := digest.FromString("subject")
	for _, n := range []int{1, firstBatch - 1, firstBatch, firstBatch + 1, batchSize, firstBatch + batchSize - 1, firstBatch + batchSize, firstBatch + 2*batchSize, 3*batchSize + 7} {
		s := New()
		for i := range n {
			m := newManifest(i)
			m.Subject = subject
			require.NoError(t, s.PutManifest(ctx, fmt.Sprintf("r%04d", i), m, nil, nil))
			require.NoError(t, s.PutManifest(ctx, "app", m, []string{fmt.Sprintf("v%04d", i)}, nil))
		}
		count := 0
		for tag, err := range s.Tags(ctx, "app", "") {
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("v%04d", count), tag)
			count++
		}
		require.Equal(t, n, count)
		count = 0
		for _, err := range s.Repositories(ctx, "") {
			require.NoError(t, err)
			count++
		}
		require.Equal(t, n+1, count)
		var digests []string
		for d, err := range s.Referrers(ctx, "app", subject, "") {
			require.NoError(t, err)
			digests = append(digests, string(d.Digest))
		}
		require.Len(t, digests, n)
		require.True(t, slices.IsSorted(digests))
	}
}

func TestSubjectOfAManifestMayChange(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := New()
	m := newManifest(0)
	for _, subject := range []digest.Digest{"sha256:a", "sha256:b", "", "sha256:a"} {
		m.Subject = subject
		require.NoError(t, s.PutManifest(ctx, "app", m, nil, nil))
		for _, d := range []digest.Digest{"", "sha256:a", "sha256:b"} {
			count := 0
			for range s.Referrers(ctx, "app", d, "") {
				count++
			}
			require.Equal(t, d == subject && d != "", count == 1, "the referrers of %q are wrong after the subject changed to %q", d, subject)
		}
	}
	require.NoError(t, s.DeleteManifest(ctx, "app", m.Digest))
	r, err := s.existing("app")
	require.NoError(t, err)
	require.Empty(t, r.referrers)
}

// requireTagged checks that the tags of each manifest in r.tagged are the tags
// in r.tags.
func requireTagged(t *testing.T, r *repository) {
	t.Helper()
	n := 0
	for d, tags := range r.tagged {
		require.NotEmpty(t, tags)
		for tag := range tags {
			current := r.tags.Get(tag)
			require.Equal(t, d, current)
		}
		n += len(tags)
	}
	require.Equal(t, r.tags.Len(), n)
}

func TestIndexesHaveNothingLeftOver(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := New()
	for i := range 50 {
		m := newManifest(i)
		m.Subject = newManifest(i + 1).Digest
		require.NoError(t, s.PutManifest(ctx, "app", m, []string{"latest", fmt.Sprint(i), fmt.Sprint(i % 7)}, nil))
	}
	require.NoError(t, s.DeleteTag(ctx, "app", "latest"))
	r, err := s.existing("app")
	require.NoError(t, err)
	for i := range 200 {
		// Move one tag between two manifests that have other tags too.
		require.NoError(t, s.PutManifest(ctx, "app", newManifest(i%2*49), []string{"moving"}, nil))
		requireTagged(t, r)
	}
	for i := range 50 {
		require.NoError(t, s.DeleteManifest(ctx, "app", newManifest(i).Digest))
		requireTagged(t, r)
	}
	require.Zero(t, r.tags.Len())
	require.Empty(t, r.referrers)
	require.Empty(t, r.manifests)
}

func TestErrorsNameTheRepositoryAndTheThing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := New()
	blob := push(t, s, "team/app", []byte("blob"))
	none := digest.FromString("none")
	tagsOf := func(repo string) (last error) {
		for _, err := range s.Tags(ctx, repo, "") {
			last = err
		}
		return last
	}
	_, stat := s.StatBlob(ctx, "team/app", none)
	_, open := s.OpenBlob(ctx, "team/app", none)
	_, byTag := s.GetManifest(ctx, "team/app", "v1")
	_, byDigest := s.StatManifest(ctx, "team/app", string(none))
	_, noRepo := s.StatBlob(ctx, "no/repo", blob)
	for _, c := range []struct {
		err   error
		names []string
	}{
		{stat, []string{"team/app", "blob", string(none)}},
		{open, []string{"team/app", "blob", string(none)}},
		{byTag, []string{"team/app", "tag", "v1"}},
		{byDigest, []string{"team/app", "manifest", string(none)}},
		{s.DeleteBlob(ctx, "team/app", none), []string{"team/app", "blob", string(none)}},
		{s.DeleteManifest(ctx, "team/app", none), []string{"team/app", "manifest", string(none)}},
		{s.DeleteTag(ctx, "team/app", "v1"), []string{"team/app", "tag", "v1"}},
		{s.MountBlob(ctx, "x", none, "team/app"), []string{"team/app", "blob", string(none)}},
		{s.MountBlob(ctx, "x", none, ""), []string{"blob", string(none)}},
		{noRepo, []string{"repository no/repo"}},
		{tagsOf("no/repo"), []string{"repository no/repo"}},
		{s.MountBlob(ctx, "x", blob, "no/repo"), []string{"repository no/repo"}},
	} {
		require.ErrorIs(t, c.err, fs.ErrNotExist)
		for _, name := range c.names {
			require.ErrorContains(t, c.err, name)
		}
	}
}

func TestReadingAManifestAllocatesNothing(t *testing.T) {
	// Not parallel: the test measures allocations.
	ctx := t.Context()
	s := New()
	m := newManifest(0)
	require.NoError(t, s.PutManifest(ctx, "app", m, []string{"v1"}, nil))
	for _, ref := range []string{"v1", string(m.Digest)} {
		require.Zero(t, testing.AllocsPerRun(100, func() { s.GetManifest(ctx, "app", ref) }), "GetManifest(%s)", ref)
		require.Zero(t, testing.AllocsPerRun(100, func() { s.StatManifest(ctx, "app", ref) }), "StatManifest(%s)", ref)
	}
}
