package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/tempdir"
)

// faultyWrites are the writes that TestFaultAtEachOperation makes, to a tree whose
// repository app has a blob and the tags v0 and v1.
var faultyWrites = []struct {
	name   string
	opt    Option // an option of the store, or nil
	leaves string // the repository that a failed write may leave empty, because it exists before its first blob
	write  func(ctx context.Context, s *Store) error
}{
	{"push a blob", nil, "", pushTo("app")},
	{"push a blob to a new repository", nil, "new/repo", pushTo("new/repo")},
	{"mount a blob", nil, "new/repo", func(ctx context.Context, s *Store) error {
		return s.MountBlob(ctx, "new/repo", digest.FromString("content"), "app")
	}},
	{"put a manifest", nil, "", func(ctx context.Context, s *Store) error {
		return s.PutManifest(ctx, "app", numbered(2), []string{"v2"}, nil)
	}},
	{"put a manifest into a new repository", Sync(), "", func(ctx context.Context, s *Store) error {
		return s.PutManifest(ctx, "new/repo", numbered(2), []string{"v2"}, nil)
	}},
	{"put a referrer", ReferrersTags(), "", func(ctx context.Context, s *Store) error {
		return s.PutManifest(ctx, "app", referrer, nil, nil)
	}},
	{"move a tag", nil, "", func(ctx context.Context, s *Store) error {
		return s.PutManifest(ctx, "app", numbered(1), []string{"v0"}, nil)
	}},
	{"delete a tag", nil, "", func(ctx context.Context, s *Store) error { return s.DeleteTag(ctx, "app", "v1") }},
	{"delete a manifest", Sync(), "", func(ctx context.Context, s *Store) error {
		return s.DeleteManifest(ctx, "app", numbered(1).Digest)
	}},
	{"delete a blob", nil, "", func(ctx context.Context, s *Store) error {
		return s.DeleteBlob(ctx, "app", digest.FromString("content"))
	}},
}

// referrer is a manifest whose subject is the manifest with the tag v0.
var referrer = func() registry.Manifest {
	subject := numbered(0).Descriptor()
	content := fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[],"subject":{"mediaType":%q,"digest":%q,"size":%d}}`, subject.MediaType, subject.Digest, subject.Size)
	return registry.Manifest{MediaType: subject.MediaType, Digest: digest.FromBytes(content), Content: content, Subject: subject.Digest}
}()

func pushTo(repo string) func(ctx context.Context, s *Store) error {
	return func(ctx context.Context, s *Store) error {
		w, err := s.CreateBlob(ctx, repo, -1)
		if err != nil {
			return err
		}
		defer w.Close()
		if _, err := w.Write([]byte("more")); err != nil {
			return err
		}
		return w.Commit(ctx, digest.FromString("more"))
	}
}

// contentOf returns all repositories, tags, manifests and blobs that the writes
// of TestFaultAtEachOperation can leave in the store.
func contentOf(t *testing.T, s *Store) (all []string) {
	for _, repo := range repositoriesOf(t, s) {
		all = append(all, repo)
		for _, tag := range tagsIn(t, s, repo) {
			m, err := s.GetManifest(t.Context(), repo, tag)
			require.NoError(t, err)
			all = append(all, fmt.Sprint(repo, ":", tag, " ", m.Digest))
		}
		for i, d := range []digest.Digest{numbered(0).Digest, numbered(1).Digest, numbered(2).Digest, referrer.Digest} {
			if _, err := s.GetManifest(t.Context(), repo, string(d)); err == nil {
				all = append(all, fmt.Sprint(repo, " manifest ", i))
			}
		}
		for _, blob := range []string{"content", "more"} {
			if _, err := s.StatBlob(t.Context(), repo, digest.FromString(blob)); err == nil {
				all = append(all, fmt.Sprint(repo, " blob ", blob))
			}
		}
	}
	return all
}

// filesBelow returns the paths of all files and directories below dir, except
// the directory of temporary files.
func filesBelow(t *testing.T, dir string) (all []string) {
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if e != nil && e.Name() == tempDir {
			return fs.SkipDir
		}
		all = append(all, strings.TrimPrefix(path, dir))
		return err
	}))
	return all
}

// TestFaultAtEachOperation makes each write with a fault at each of its
// operations on the file system in turn. At every third operation, it also makes
// the write with a fault at that operation and at all that follow. A write that
// succeeds has its whole effect. A write that fails has no effect and leaves no
// file, unless the fault came after the effect. A store that is opened later has
// the same content. Once the faults end, the write succeeds.
func TestFaultAtEachOperation(t *testing.T) {
	t.Parallel()
	for _, w := range faultyWrites {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			d := newFaultyDisk(t, w.opt)
			before, files := contentOf(t, d.store), filesBelow(t, d.dir)
			n, err := d.write(w.write, nil)
			require.NoError(t, err)
			require.Greater(t, n, 3)
			after := contentOf(t, d.store)
			require.NotEqual(t, before, after)
			empty := append(slices.Clone(before), w.leaves)
			d = newFaultyDisk(t, w.opt)
			for i := range n + n/3 {
				at, on, fault := i, false, []error{syscall.ENOSPC, syscall.EIO}[i%2]
				if i >= n {
					at, on = (i-n)*3, true
				}
				what := ""
				_, err := d.write(w.write, func(n int, op, name string) error {
					if n != at && !(on && n > at) {
						return nil
					}
					if what == "" {
						what = fmt.Sprintf("%s %s fails with %v (and so do all later operations: %v)", op, name, fault, on)
					}
					return fault
				})
				now := contentOf(t, d.store)
				switch {
				case err == nil:
					require.Equal(t, after, now, what)
				case slices.Equal(now, before) && !on:
					require.Equal(t, files, filesBelow(t, d.dir), what)
					require.Empty(t, d.temporary(), what)
					continue // The write changed nothing, so the next fault uses the same store.
				case !slices.Equal(now, after) && !(w.leaves != "" && slices.Equal(now, empty)):
					require.Equal(t, before, now, "%s: %v", what, err)
				}
				again := reopened(t, d.dir)
				require.Equal(t, now, contentOf(t, again), what)
				require.NoError(t, again.Close())
				_, err = d.write(w.write, nil)
				if !slices.Equal(now, after) || !errors.Is(err, fs.ErrNotExist) {
					require.NoError(t, err, "after %s", what)
				}
				require.Equal(t, after, contentOf(t, d.store), "after %s", what)
				d = newFaultyDisk(t, w.opt)
			}
		})
	}
}

// A faultyDisk is a tree on which operations of a write can be made to fail.
type faultyDisk struct {
	t     *testing.T
	dir   string
	store *Store
}

func newFaultyDisk(t *testing.T, opt Option) *faultyDisk {
	dir := tempdir.New(t)
	d := &faultyDisk{t, dir, reopened(t, dir, slices.DeleteFunc([]Option{opt}, func(o Option) bool { return o == nil })...)}
	push(t, d.store, "app", "content")
	put(t, d.store, 0, "v0")
	put(t, d.store, 1, "v1")
	return d
}

// write makes a write to the store and returns the number of its operations on
// the file system. If fault is not nil, write calls it before each operation
// with the number of the operation, from 0. The operation fails with the error
// that fault returns.
func (d *faultyDisk) write(write func(context.Context, *Store) error, fault func(n int, op, name string) error) (n int, err error) {
	defer hook(d.store, func(op, name string) (string, error) {
		n++
		if fault == nil {
			return name, nil
		}
		return name, fault(n-1, op, name)
	})()
	err = write(d.t.Context(), d.store)
	return n, err
}

// temporary returns the names of the temporary files, except the lock files of
// stores.
func (d *faultyDisk) temporary() []string {
	return slices.DeleteFunc(namesIn(d.t, filepath.Join(d.dir, tempDir)), func(name string) bool {
		return strings.HasSuffix(name, lockSuffix)
	})
}
