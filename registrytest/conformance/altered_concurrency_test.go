package conformance

import (
	"context"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

// concurrencyAlterations are alterations that break concurrent use of a store.
var concurrencyAlterations = []alteration{
	{"the check and the write are two steps", []string{"check and write are one step"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			if check == nil {
				return a.Store.PutManifest(ctx, repo, m, tags, nil)
			}
			for _, tag := range tags {
				current, _ := a.Store.StatManifest(ctx, repo, tag)
				if err := check(tag, current.Digest); err != nil {
					return err
				}
			}
			for range 100 {
				runtime.Gosched()
			}
			return a.Store.PutManifest(ctx, repo, m, tags, nil)
		}
	}},
	{"a blob has one writer", []string{"same blob is pushed concurrently"}, func(a *altered) {
		var open atomic.Int32
		a.writers(func(w *alteredWriter) {
			w.write = func(p []byte) (int, error) {
				if len(w.all) == len(p) && open.Add(1) > 1 {
					return 0, errAltered
				}
				for range 100 {
					runtime.Gosched()
				}
				return w.BlobWriter.Write(p)
			}
			w.commit = func(ctx context.Context, d digest.Digest) error {
				open.Add(-1)
				return w.BlobWriter.Commit(ctx, d)
			}
		})
	}},
	{"a tag is absent while it moves", []string{"readers see a tag move at once"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			for _, tag := range tags {
				a.Store.DeleteTag(ctx, repo, tag)
			}
			for range 100 {
				runtime.Gosched()
			}
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
	}},
	{"concurrent writers overwrite each other's manifest", []string{"concurrent writers and readers agree"}, func(a *altered) {
		var current atomic.Pointer[registry.Manifest]
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			current.Store(&m)
			for range 100 {
				runtime.Gosched()
			}
			return a.Store.PutManifest(ctx, repo, *current.Load(), tags, check)
		}
	}},
}

// stuckAlterations are alterations that make calls of a store wait forever, or that
// leave goroutines behind. Rules notice them only by their timeout.
var stuckAlterations = []alteration{
	{"a lock is held while repositories are listed", []string{"store may be used while it is listed"}, func(a *altered) {
		lock := a.lockWrites()
		a.repositories = func(ctx context.Context, after string) iter.Seq2[string, error] {
			return locked(lock, a.Store.Repositories(ctx, after))
		}
	}},
	{"a lock is held while tags are listed", []string{"store may be used while it is listed", "listed tags may be deleted"}, func(a *altered) {
		lock := a.lockWrites()
		a.tags = func(ctx context.Context, repo, after string) iter.Seq2[string, error] {
			return locked(lock, a.Store.Tags(ctx, repo, after))
		}
	}},
	{"a lock is held while referrers are listed", []string{"store may be used while it is listed"}, func(a *altered) {
		lock := a.lockWrites()
		a.referrers = func(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
			return locked(lock, a.Store.Referrers(ctx, repo, subject, after))
		}
	}},
	{"a list that is left early keeps its lock", []string{"list may be left early"}, func(a *altered) {
		lock := a.lockWrites()
		a.repositories = func(ctx context.Context, after string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for repo, err := range a.Store.Repositories(ctx, after) {
					lock.Lock()
					if !yield(repo, err) {
						return
					}
					lock.Unlock()
				}
			}
		}
	}},
	{"a closed reader leaves a goroutine", []string{"no goroutine is left running"}, func(a *altered) {
		a.readers(func(r *alteredReader) {
			go func() { <-a.done }()
		})
	}},
}

// lockWrites makes PutManifest and DeleteTag hold a lock, which it returns.
func (a *altered) lockWrites() *sync.Mutex {
	var lock sync.Mutex
	a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
		lock.Lock()
		defer lock.Unlock()
		return a.Store.PutManifest(ctx, repo, m, tags, check)
	}
	a.deleteTag = func(ctx context.Context, repo, tag string) error {
		lock.Lock()
		defer lock.Unlock()
		return a.Store.DeleteTag(ctx, repo, tag)
	}
	return &lock
}

// locked returns a list that holds the lock while it yields.
func locked[T any](lock *sync.Mutex, list iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		lock.Lock()
		defer lock.Unlock()
		list(yield)
	}
}
