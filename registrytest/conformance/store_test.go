package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
	"github.com/ocireg/registry/memstore"
)

// A recorder is the testing.TB of a rule that is expected to fail.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
	skipped  bool
}

func (r *recorder) Helper() {}

func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprintln(args...)) }

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skip(...any) {
	r.skipped = true
	runtime.Goexit()
}

// Cleanup does nothing: a store in memory needs none, and a goroutine that is
// stuck still uses what would be closed.
func (r *recorder) Cleanup(func()) {}

// failures returns what a rule has against the store.
func failures(t *testing.T, rule rule, store registry.Store, patience time.Duration) []string {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		rule.check(&tester{TB: r, ctx: t.Context(), store: store, patience: patience, seed: new(atomic.Uint64)})
	}()
	<-done
	if r.skipped {
		return []string{"skipped"}
	}
	return r.failures
}

// An altered store does something else than the store it is made from where a
// function is set.
type altered struct {
	registry.Store
	done           <-chan struct{} // closed at the end of the test
	repositories   func(ctx context.Context, after string) iter.Seq2[string, error]
	statBlob       func(ctx context.Context, repo string, d digest.Digest) (int64, error)
	openBlob       func(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error)
	createBlob     func(ctx context.Context, repo string, size int64) (registry.BlobWriter, error)
	mountBlob      func(ctx context.Context, repo string, d digest.Digest, from string) error
	deleteBlob     func(ctx context.Context, repo string, d digest.Digest) error
	statManifest   func(ctx context.Context, repo, reference string) (ocispec.Descriptor, error)
	getManifest    func(ctx context.Context, repo, reference string) (registry.Manifest, error)
	putManifest    func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error
	deleteManifest func(ctx context.Context, repo string, d digest.Digest) error
	deleteTag      func(ctx context.Context, repo, tag string) error
	tags           func(ctx context.Context, repo, after string) iter.Seq2[string, error]
	referrers      func(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error]
}

type checkFunc = func(tag string, current digest.Digest) error

// alter returns a store in memory that is altered.
func alter(t *testing.T, how func(a *altered)) *altered {
	s := memstore.New()
	a := &altered{
		Store: s, done: t.Context().Done(), repositories: s.Repositories, statBlob: s.StatBlob, openBlob: s.OpenBlob, createBlob: s.CreateBlob,
		mountBlob: s.MountBlob, deleteBlob: s.DeleteBlob, statManifest: s.StatManifest, getManifest: s.GetManifest,
		putManifest: s.PutManifest, deleteManifest: s.DeleteManifest, deleteTag: s.DeleteTag, tags: s.Tags, referrers: s.Referrers,
	}
	how(a)
	return a
}

func (a *altered) Repositories(ctx context.Context, after string) iter.Seq2[string, error] {
	return a.repositories(ctx, after)
}

func (a *altered) StatBlob(ctx context.Context, repo string, d digest.Digest) (int64, error) {
	return a.statBlob(ctx, repo, d)
}

func (a *altered) OpenBlob(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
	return a.openBlob(ctx, repo, d)
}

func (a *altered) CreateBlob(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
	return a.createBlob(ctx, repo, size)
}

func (a *altered) MountBlob(ctx context.Context, repo string, d digest.Digest, from string) error {
	return a.mountBlob(ctx, repo, d, from)
}

func (a *altered) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	return a.deleteBlob(ctx, repo, d)
}

func (a *altered) StatManifest(ctx context.Context, repo, reference string) (ocispec.Descriptor, error) {
	return a.statManifest(ctx, repo, reference)
}

func (a *altered) GetManifest(ctx context.Context, repo, reference string) (registry.Manifest, error) {
	return a.getManifest(ctx, repo, reference)
}

func (a *altered) PutManifest(ctx context.Context, repo string, m registry.Manifest, tags []string, check func(tag string, current digest.Digest) error) error {
	return a.putManifest(ctx, repo, m, tags, check)
}

func (a *altered) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	return a.deleteManifest(ctx, repo, d)
}

func (a *altered) DeleteTag(ctx context.Context, repo, tag string) error {
	return a.deleteTag(ctx, repo, tag)
}

func (a *altered) Tags(ctx context.Context, repo, after string) iter.Seq2[string, error] {
	return a.tags(ctx, repo, after)
}

func (a *altered) Referrers(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
	return a.referrers(ctx, repo, subject, after)
}

// writers makes every writer go through alter, which sets what it does.
func (a *altered) writers(alter func(w *alteredWriter)) {
	a.createBlob = func(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
		inner, err := a.Store.CreateBlob(ctx, repo, size)
		w := &alteredWriter{BlobWriter: inner, repo: repo, size: size, ctx: ctx}
		w.write, w.readAt, w.commit, w.close = inner.Write, inner.ReadAt, inner.Commit, inner.Close
		alter(w)
		return w, err
	}
}

type alteredWriter struct {
	registry.BlobWriter
	ctx    context.Context
	repo   string
	size   int64
	all    []byte
	write  func(p []byte) (int, error)
	readAt func(p []byte, off int64) (int, error)
	commit func(ctx context.Context, d digest.Digest) error
	close  func() error
}

func (w *alteredWriter) Write(p []byte) (int, error) {
	w.all = append(w.all, p...)
	return w.write(p)
}

func (w *alteredWriter) ReadAt(p []byte, off int64) (int, error) { return w.readAt(p, off) }

func (w *alteredWriter) Commit(ctx context.Context, d digest.Digest) error { return w.commit(ctx, d) }

func (w *alteredWriter) Close() error { return w.close() }

// A readingWriter has a ReadFrom.
type readingWriter struct {
	registry.BlobWriter
	readFrom func(r io.Reader) (int64, error)
}

func (w *readingWriter) ReadFrom(r io.Reader) (int64, error) { return w.readFrom(r) }

// readFroms makes every writer have a ReadFrom that is altered.
func (a *altered) readFroms(readFrom func(w registry.BlobWriter, r io.Reader) (int64, error)) {
	a.createBlob = func(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
		w, err := a.Store.CreateBlob(ctx, repo, size)
		return &readingWriter{w, func(r io.Reader) (int64, error) { return readFrom(w, r) }}, err
	}
}

// readers makes every reader go through alter, which sets what it does.
func (a *altered) readers(alter func(r *alteredReader)) {
	a.openBlob = func(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
		inner, err := a.Store.OpenBlob(ctx, repo, d)
		if err != nil {
			return nil, err
		}
		r := &alteredReader{ReadSeekCloser: inner, repo: repo, digest: d, read: inner.Read, seek: inner.Seek}
		alter(r)
		return r, nil
	}
}

type alteredReader struct {
	io.ReadSeekCloser
	repo   string
	digest digest.Digest
	read   func(p []byte) (int, error)
	seek   func(offset int64, whence int) (int64, error)
}

func (r *alteredReader) Read(p []byte) (int, error) { return r.read(p) }

func (r *alteredReader) Seek(offset int64, whence int) (int64, error) { return r.seek(offset, whence) }

// put puts a blob in the store that an altered one is made from.
func (a *altered) put(repo string, content []byte) {
	ctx := context.Background()
	w, _ := a.Store.CreateBlob(ctx, repo, -1)
	w.Write(content)
	w.Commit(ctx, digest.FromBytes(content))
}

// all returns what the list of the store that an altered one is made from
// yields.
func all[T any](list iter.Seq2[T, error]) (items []T, err error) {
	for item, err := range list {
		if err != nil {
			return items, err
		}
		items = append(items, item)
	}
	return items, nil
}

// yields returns a list of the items.
func yields[T any](items []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
		if err != nil {
			var zero T
			yield(zero, err)
		}
	}
}

// after returns the part of a list that comes after an item, in the order that
// the list is in.
func after(items []string, item string) []string {
	if i := slices.Index(items, item); i >= 0 {
		return items[i+1:]
	}
	return items
}

var errAltered = errors.New("altered")

// alterations are ways to get a store wrong, each with the rules that have to
// notice. No rule is without one: one that cannot fail checks nothing.
var alterations = []struct {
	what  string
	rules []string
	how   func(a *altered)
}{
	{"a blob loses its last byte", []string{"committed blob can be read"}, func(a *altered) {
		a.readers(func(r *alteredReader) {
			size, _ := r.ReadSeekCloser.Seek(0, io.SeekEnd)
			r.ReadSeekCloser.Seek(0, io.SeekStart)
			limited := io.LimitReader(r.ReadSeekCloser, size-1)
			r.read = func(p []byte) (int, error) { return limited.Read(p) }
		})
	}},
	{"an empty blob is not kept", []string{"committed blob can be read"}, func(a *altered) {
		a.writers(func(w *alteredWriter) {
			w.commit = func(ctx context.Context, d digest.Digest) error {
				if len(w.all) == 0 {
					return nil
				}
				return w.BlobWriter.Commit(ctx, d)
			}
		})
	}},
	{"only SHA-256 is kept", []string{"committed blob can be read", "manifest is read by digest and tag"}, func(a *altered) {
		a.statBlob = func(ctx context.Context, repo string, d digest.Digest) (int64, error) {
			if d.Algorithm() != digest.SHA256 {
				return 0, fs.ErrNotExist
			}
			return a.Store.StatBlob(ctx, repo, d)
		}
		a.getManifest = func(ctx context.Context, repo, ref string) (registry.Manifest, error) {
			if strings.HasPrefix(ref, "sha512:") {
				return registry.Manifest{}, fs.ErrNotExist
			}
			return a.Store.GetManifest(ctx, repo, ref)
		}
	}},
	{"what is more than announced is lost", []string{"announced size may be wrong"}, func(a *altered) {
		a.writers(func(w *alteredWriter) {
			w.write = func(p []byte) (int, error) {
				keep := len(p)
				if over := int64(len(w.all)) - w.size; w.size >= 0 && over > 0 {
					keep -= int(min(over, int64(len(p))))
				}
				_, err := w.BlobWriter.Write(p[:keep])
				return len(p), err
			}
		})
	}},
	{"what is less than announced is filled up", []string{"announced size may be wrong"}, func(a *altered) {
		a.writers(func(w *alteredWriter) {
			w.commit = func(ctx context.Context, d digest.Digest) error {
				if n := w.size - int64(len(w.all)); 0 < n && n < 1<<20 {
					w.BlobWriter.Write(make([]byte, n))
				}
				return w.BlobWriter.Commit(ctx, d)
			}
		})
	}},
	{"each piece takes the place of the one before", []string{"blob is written piece by piece"}, func(a *altered) {
		a.writers(func(w *alteredWriter) {
			var last []byte
			w.write = func(p []byte) (int, error) {
				last = bytes.Clone(p)
				return len(p), nil
			}
			w.commit = func(ctx context.Context, d digest.Digest) error {
				w.BlobWriter.Write(last)
				return w.BlobWriter.Commit(ctx, d)
			}
		})
	}},
	{"the writer keeps what it was passed", []string{"writer does not keep the slice passed to Write"}, func(a *altered) {
		a.writers(func(w *alteredWriter) {
			var kept [][]byte
			w.write = func(p []byte) (int, error) {
				kept = append(kept, p)
				return len(p), nil
			}
			w.commit = func(ctx context.Context, d digest.Digest) error {
				w.BlobWriter.Write(bytes.Join(kept, nil))
				return w.BlobWriter.Commit(ctx, d)
			}
		})
	}},
	{"ReadAt reads from the start", []string{"ReadAt reads back the written bytes"}, func(a *altered) {
		a.writers(func(w *alteredWriter) {
			w.readAt = func(p []byte, _ int64) (int, error) { return w.BlobWriter.ReadAt(p, 0) }
		})
	}},
	{"ReadAt says nothing of the end", []string{"ReadAt reads back the written bytes"}, func(a *altered) {
		a.writers(func(w *alteredWriter) {
			w.readAt = func(p []byte, off int64) (int, error) {
				n, _ := w.BlobWriter.ReadAt(p, off)
				return n, nil
			}
		})
	}},
	{"ReadFrom loses what came before an error", []string{"ReadFrom keeps the bytes before an error"}, func(a *altered) {
		a.readFroms(func(w registry.BlobWriter, r io.Reader) (int64, error) {
			p, err := io.ReadAll(r)
			if err == nil {
				_, err = w.Write(p)
			}
			return int64(len(p)), err
		})
	}},
	{"ReadFrom takes an error for the end", []string{"ReadFrom keeps the bytes before an error"}, func(a *altered) {
		a.readFroms(func(w registry.BlobWriter, r io.Reader) (int64, error) {
			p, _ := io.ReadAll(r)
			n, err := w.Write(p)
			return int64(n), err
		})
	}},
	{"ReadFrom takes nothing for the end", []string{"ReadFrom gives up on a stuck reader"}, func(a *altered) {
		a.readFroms(func(w registry.BlobWriter, r io.Reader) (int64, error) { return 0, nil })
	}},
	{"there is no ReadFrom", []string{"ReadFrom gives up on a stuck reader"}, func(a *altered) {
		// The rule is skipped, which counts as noticed.
		a.writers(func(*alteredWriter) {})
	}},
	{"what is written is there at once", []string{"uncommitted blob does not exist", "Close discards an uncommitted blob"}, func(a *altered) {
		a.writers(func(w *alteredWriter) {
			w.write = func(p []byte) (int, error) {
				a.put(w.repo, w.all)
				return w.BlobWriter.Write(p)
			}
		})
	}},
	{"CreateBlob creates the repository", []string{"uncommitted blob does not exist", "Close discards an uncommitted blob"}, func(a *altered) {
		a.writers(func(w *alteredWriter) { a.put(w.repo, nil) })
	}},
	{"Close commits", []string{"Close discards an uncommitted blob"}, func(a *altered) {
		a.writers(func(w *alteredWriter) {
			w.close = func() error {
				w.BlobWriter.Commit(context.Background(), digest.FromBytes(w.all))
				return w.BlobWriter.Close()
			}
		})
	}},
	{"Close discards what is committed", []string{"Close keeps a committed blob"}, func(a *altered) {
		a.writers(func(w *alteredWriter) {
			w.close = func() error {
				a.Store.DeleteBlob(context.Background(), w.repo, digest.FromBytes(w.all))
				return w.BlobWriter.Close()
			}
		})
	}},
	{"the writer ends with its context", []string{"writer outlives its context"}, func(a *altered) {
		a.writers(func(w *alteredWriter) {
			w.write = func(p []byte) (int, error) {
				if err := w.ctx.Err(); err != nil {
					return 0, err
				}
				return w.BlobWriter.Write(p)
			}
		})
	}},
	{"a blob that is there is not committed again", []string{"blob may be committed again"}, func(a *altered) {
		a.writers(func(w *alteredWriter) {
			w.commit = func(ctx context.Context, d digest.Digest) error {
				if _, err := a.Store.StatBlob(ctx, w.repo, d); err == nil {
					return fs.ErrExist
				}
				return w.BlobWriter.Commit(ctx, d)
			}
		})
	}},
	{"blobs belong to all repositories", []string{"blob belongs to its repository", "deleted blob is gone"}, func(a *altered) {
		a.openBlob = func(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
			a.Store.MountBlob(ctx, repo, d, "")
			return a.Store.OpenBlob(ctx, repo, d)
		}
		a.deleteBlob = func(context.Context, string, digest.Digest) error { return nil }
	}},
	{"a blob that is not there is some error", []string{"absent blob wraps fs.ErrNotExist"}, func(a *altered) {
		a.statBlob = func(ctx context.Context, repo string, d digest.Digest) (int64, error) {
			size, err := a.Store.StatBlob(ctx, repo, d)
			if err != nil {
				err = errAltered
			}
			return size, err
		}
	}},
	{"deleting what is not there succeeds", []string{
		"absent blob wraps fs.ErrNotExist", "blob belongs to its repository", "deleted blob is gone",
		"absent manifest wraps fs.ErrNotExist", "deleting a tag keeps its manifest", "manifest belongs to its repository",
	}, func(a *altered) {
		a.deleteBlob = func(ctx context.Context, repo string, d digest.Digest) error {
			a.Store.DeleteBlob(ctx, repo, d)
			return nil
		}
		a.deleteManifest = func(ctx context.Context, repo string, d digest.Digest) error {
			a.Store.DeleteManifest(ctx, repo, d)
			return nil
		}
		a.deleteTag = func(ctx context.Context, repo, tag string) error {
			a.Store.DeleteTag(ctx, repo, tag)
			return nil
		}
	}},
	{"a reader ends with its blob", []string{"open reader outlives its blob"}, func(a *altered) {
		a.readers(func(r *alteredReader) {
			r.read = func(p []byte) (int, error) {
				if _, err := a.Store.StatBlob(context.Background(), r.repo, r.digest); err != nil {
					return 0, err
				}
				return r.ReadSeekCloser.Read(p)
			}
		})
	}},
	{"seeking from the end is off by one", []string{"reader seeks"}, func(a *altered) {
		a.readers(func(r *alteredReader) {
			r.seek = func(offset int64, whence int) (int64, error) {
				if whence == io.SeekEnd {
					offset--
				}
				return r.ReadSeekCloser.Seek(offset, whence)
			}
		})
	}},
	{"a negative offset is the start", []string{"reader seeks"}, func(a *altered) {
		a.readers(func(r *alteredReader) {
			r.seek = func(offset int64, whence int) (int64, error) {
				if whence == io.SeekStart {
					offset = max(offset, 0)
				}
				return r.ReadSeekCloser.Seek(offset, whence)
			}
		})
	}},
	{"there is one reader for all", []string{"readers of a blob are independent"}, func(a *altered) {
		open := map[digest.Digest]io.ReadSeekCloser{}
		a.openBlob = func(ctx context.Context, repo string, d digest.Digest) (r io.ReadSeekCloser, err error) {
			if open[d] == nil {
				open[d], err = a.Store.OpenBlob(ctx, repo, d)
			}
			return open[d], err
		}
	}},
	{"WriteTo writes all of the blob", []string{"WriteTo starts at the current offset"}, func(a *altered) {
		a.openBlob = func(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
			r, err := a.Store.OpenBlob(ctx, repo, d)
			return wholeWriter{r}, err
		}
	}},

	{"mounting does nothing", []string{"mounted blob can be read"}, func(a *altered) {
		a.mountBlob = func(context.Context, string, digest.Digest, string) error { return nil }
	}},
	{"mounting needs a from", []string{"blob is mounted from any repository"}, func(a *altered) {
		a.mountBlob = func(ctx context.Context, repo string, d digest.Digest, from string) error {
			if from == "" {
				from = repo
			}
			return a.Store.MountBlob(ctx, repo, d, from)
		}
	}},
	{"mounting does not look at from", []string{"blob is mounted only from a repository that has it"}, func(a *altered) {
		a.mountBlob = func(ctx context.Context, repo string, d digest.Digest, _ string) error {
			return a.Store.MountBlob(ctx, repo, d, "")
		}
	}},
	{"a blob that is there is not mounted", []string{"blob may be mounted where it exists"}, func(a *altered) {
		a.mountBlob = func(ctx context.Context, repo string, d digest.Digest, from string) error {
			if _, err := a.Store.StatBlob(ctx, repo, d); err == nil {
				return fs.ErrExist
			}
			return a.Store.MountBlob(ctx, repo, d, from)
		}
	}},
	{"a blob is deleted everywhere", []string{
		"mounted blob outlives the one it was mounted from", "blob belongs to its repository", "blob may be mounted where it exists",
	}, func(a *altered) {
		a.deleteBlob = func(ctx context.Context, repo string, d digest.Digest) error {
			err := a.Store.DeleteBlob(ctx, repo, d)
			repos, _ := all(a.Store.Repositories(ctx, ""))
			for _, repo := range repos {
				a.Store.DeleteBlob(ctx, repo, d)
			}
			return err
		}
	}},

	{"StatManifest has no size", []string{"manifest is read by digest and tag"}, func(a *altered) {
		a.statManifest = func(ctx context.Context, repo, ref string) (ocispec.Descriptor, error) {
			d, err := a.Store.StatManifest(ctx, repo, ref)
			d.Size = 0
			return d, err
		}
	}},
	{"only the first tag is kept", []string{"manifest is read by digest and tag"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			return a.Store.PutManifest(ctx, repo, m, tags[:min(1, len(tags))], check)
		}
	}},
	{"a manifest is formatted", []string{"manifest is kept byte for byte"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			var compact bytes.Buffer
			json.Compact(&compact, m.Content)
			m.Content = compact.Bytes()
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
	}},
	{"only OCI manifests are kept", []string{"manifest is of any media type"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			if !strings.HasPrefix(m.MediaType, "application/vnd.oci.image.") {
				return errors.ErrUnsupported
			}
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
	}},
	{"a manifest that is not there is some error", []string{"absent manifest wraps fs.ErrNotExist"}, func(a *altered) {
		a.getManifest = func(ctx context.Context, repo, ref string) (registry.Manifest, error) {
			m, err := a.Store.GetManifest(ctx, repo, ref)
			if err != nil {
				err = errAltered
			}
			return m, err
		}
	}},
	{"manifests belong to all repositories", []string{"manifest belongs to its repository"}, func(a *altered) {
		a.getManifest = func(ctx context.Context, repo, ref string) (registry.Manifest, error) {
			m, err := a.Store.GetManifest(ctx, repo, ref)
			repos, _ := all(a.Store.Repositories(ctx, ""))
			for i := 0; err != nil && i < len(repos); i++ {
				m, err = a.Store.GetManifest(ctx, repos[i], ref)
			}
			return m, err
		}
	}},
	{"a manifest that is there is not put again", []string{"manifest may be put again"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			if _, err := a.Store.StatManifest(ctx, repo, string(m.Digest)); err == nil {
				return fs.ErrExist
			}
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
	}},
	{"tags are moved off a manifest that is put again", []string{"manifest may be put again"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			a.Store.DeleteManifest(ctx, repo, m.Digest)
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
	}},
	{"media type is the first one put", []string{"media type is the last one put"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			if old, err := a.Store.StatManifest(ctx, repo, string(m.Digest)); err == nil {
				m.MediaType = old.MediaType
			}
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
	}},
	{"media type is kept for each digest", []string{"media type belongs to the repository"}, func(a *altered) {
		types := map[digest.Digest]string{}
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			types[m.Digest] = m.MediaType
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
		a.getManifest = func(ctx context.Context, repo, ref string) (registry.Manifest, error) {
			m, err := a.Store.GetManifest(ctx, repo, ref)
			m.MediaType = types[m.Digest]
			return m, err
		}
	}},
	{"a tag stays where it is", []string{"tag moves", "check and write are one step"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, _ checkFunc) error {
			tags = slices.DeleteFunc(tags, func(tag string) bool {
				_, err := a.Store.StatManifest(ctx, repo, tag)
				return err == nil
			})
			return a.Store.PutManifest(ctx, repo, m, tags, nil)
		}
	}},
	{"a tag that has moved is deleted with where it was", []string{"tag moves"}, func(a *altered) {
		tagged := map[digest.Digest][]string{}
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			tagged[m.Digest] = append(tagged[m.Digest], tags...)
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
		a.deleteManifest = func(ctx context.Context, repo string, d digest.Digest) error {
			for _, tag := range tagged[d] {
				a.Store.DeleteTag(ctx, repo, tag)
			}
			return a.Store.DeleteManifest(ctx, repo, d)
		}
	}},
	{"tags are lower case", []string{"tag is case-sensitive"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			for i, tag := range tags {
				tags[i] = strings.ToLower(tag)
			}
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
		a.getManifest = func(ctx context.Context, repo, ref string) (registry.Manifest, error) {
			return a.Store.GetManifest(ctx, repo, strings.ToLower(ref))
		}
	}},
	{"a tag outlives its manifest", []string{"deleting a manifest deletes its tags", "manifest may be put again", "tag moves"}, func(a *altered) {
		tagged := map[string]registry.Manifest{}
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			for _, tag := range tags {
				tagged[tag] = m
			}
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
		a.getManifest = func(ctx context.Context, repo, ref string) (registry.Manifest, error) {
			if m, ok := tagged[ref]; ok {
				return m, nil
			}
			return a.Store.GetManifest(ctx, repo, ref)
		}
	}},
	{"a tag is deleted with its manifest", []string{"deleting a tag keeps its manifest"}, func(a *altered) {
		a.deleteTag = func(ctx context.Context, repo, tag string) error {
			d, err := a.Store.StatManifest(ctx, repo, tag)
			if err != nil {
				return err
			}
			return a.Store.DeleteManifest(ctx, repo, d.Digest)
		}
	}},
	{"a manifest is deleted with its blobs", []string{"deleting a manifest keeps its blobs"}, func(a *altered) {
		a.deleteManifest = func(ctx context.Context, repo string, d digest.Digest) error {
			m, _ := a.Store.GetManifest(ctx, repo, string(d))
			if doc, err := manifest.Parse(m.Content); err == nil {
				for d := range doc.RequiredBlobs {
					a.Store.DeleteBlob(ctx, repo, d)
				}
			}
			return a.Store.DeleteManifest(ctx, repo, d)
		}
	}},
	{"the check is not called", []string{
		"check receives the current digest", "refused write returns the error of check and changes nothing", "check and write are one step",
	}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, _ checkFunc) error {
			return a.Store.PutManifest(ctx, repo, m, tags, nil)
		}
	}},
	{"the check is called without tags as with them", []string{"check receives the current digest"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			if len(tags) == 0 && check != nil {
				inner := check
				check = func(tag string, _ digest.Digest) error { return inner(tag, "") }
			}
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
	}},
	{"the check is called once", []string{"check receives the current digest"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			called := false
			return a.Store.PutManifest(ctx, repo, m, tags, func(tag string, current digest.Digest) error {
				if called || check == nil {
					return nil
				}
				called = true
				return check(tag, current)
			})
		}
	}},
	{"the error of the check is wrapped", []string{"refused write returns the error of check and changes nothing"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			if err := a.Store.PutManifest(ctx, repo, m, tags, check); err != nil {
				return fmt.Errorf("put: %w", err)
			}
			return nil
		}
	}},
	{"the manifest is put before the check", []string{"refused write returns the error of check and changes nothing"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			return errors.Join(a.Store.PutManifest(ctx, repo, m, nil, nil), a.Store.PutManifest(ctx, repo, m, tags, check))
		}
	}},
	{"each tag is checked and put in turn", []string{"refused write returns the error of check and changes nothing"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			for _, tag := range tags {
				if err := a.Store.PutManifest(ctx, repo, m, []string{tag}, check); err != nil {
					return err
				}
			}
			return a.Store.PutManifest(ctx, repo, m, nil, nil)
		}
	}},

	{"tags are listed without regard to case", []string{"tags are listed in byte order"}, func(a *altered) {
		a.tags = func(ctx context.Context, repo, last string) iter.Seq2[string, error] {
			tags, err := all(a.Store.Tags(ctx, repo, ""))
			slices.SortFunc(tags, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
			return yields(after(tags, last), err)
		}
	}},
	{"tags are listed from the given one on", []string{"tags are listed in byte order", "many tags are listed"}, func(a *altered) {
		a.tags = func(ctx context.Context, repo, last string) iter.Seq2[string, error] {
			tags, err := all(a.Store.Tags(ctx, repo, last))
			if _, statErr := a.Store.StatManifest(ctx, repo, last); statErr == nil {
				tags = append([]string{last}, tags...)
			}
			return yields(tags, err)
		}
	}},
	{"tags are listed only after one that is there", []string{"tags are listed in byte order"}, func(a *altered) {
		a.tags = func(ctx context.Context, repo, last string) iter.Seq2[string, error] {
			tags, err := all(a.Store.Tags(ctx, repo, ""))
			return yields(after(tags, last), err)
		}
	}},
	{"at most 100 are listed", []string{"many tags are listed", "many referrers are listed", "listed tags may be deleted"}, func(a *altered) {
		a.tags = func(ctx context.Context, repo, last string) iter.Seq2[string, error] {
			tags, err := all(a.Store.Tags(ctx, repo, last))
			return yields(tags[:min(100, len(tags))], err)
		}
		a.referrers = func(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
			referrers, err := all(a.Store.Referrers(ctx, repo, subject, after))
			return yields(referrers[:min(100, len(referrers))], err)
		}
	}},
	{"a repository that is not there has no tags", []string{
		"tags of an absent repository wrap fs.ErrNotExist", "repository exists with its first blob or manifest",
	}, func(a *altered) {
		a.tags = func(ctx context.Context, repo, last string) iter.Seq2[string, error] {
			tags, _ := all(a.Store.Tags(ctx, repo, last))
			return yields(tags, nil)
		}
	}},
	{"a repository without tags is not there", []string{"repository without tags has none"}, func(a *altered) {
		a.tags = func(ctx context.Context, repo, last string) iter.Seq2[string, error] {
			if tags, _ := all(a.Store.Tags(ctx, repo, "")); len(tags) == 0 {
				return yields[string](nil, fs.ErrNotExist)
			}
			return a.Store.Tags(ctx, repo, last)
		}
	}},
	{"repositories are listed by the parts of their names", []string{"repositories are listed in byte order"}, func(a *altered) {
		a.repositories = func(ctx context.Context, last string) iter.Seq2[string, error] {
			repos, err := all(a.Store.Repositories(ctx, ""))
			slices.SortFunc(repos, func(a, b string) int { return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")) })
			return yields(after(repos, last), err)
		}
	}},
	{"repositories without tags are not listed", []string{
		"repository exists with its first blob or manifest", "repositories are listed in byte order", "mounted blob can be read",
	}, func(a *altered) {
		a.repositories = func(ctx context.Context, last string) iter.Seq2[string, error] {
			repos, err := all(a.Store.Repositories(ctx, last))
			return yields(slices.DeleteFunc(repos, func(repo string) bool {
				tags, _ := all(a.Store.Tags(ctx, repo, ""))
				return len(tags) == 0
			}), err)
		}
	}},
	{"an empty store is an error", []string{"empty store has no repositories"}, func(a *altered) {
		a.repositories = func(ctx context.Context, last string) iter.Seq2[string, error] {
			repos, err := all(a.Store.Repositories(ctx, ""))
			if len(repos) == 0 {
				err = fs.ErrNotExist
			}
			return yields(repos, err)
		}
	}},
	{"referrers are listed backwards", []string{"referrers are listed in order of their digests"}, func(a *altered) {
		a.referrers = func(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
			referrers, err := all(a.Store.Referrers(ctx, repo, subject, after))
			slices.Reverse(referrers)
			return yields(referrers, err)
		}
	}},
	{"referrers are all listed again", []string{"referrers are listed in order of their digests"}, func(a *altered) {
		a.referrers = func(ctx context.Context, repo string, subject, _ digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
			return a.Store.Referrers(ctx, repo, subject, "")
		}
	}},
	{"referrers are listed without annotations", []string{"referrer is listed with its artifact type and annotations"}, func(a *altered) {
		a.referrers = func(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
			referrers, err := all(a.Store.Referrers(ctx, repo, subject, after))
			for i := range referrers {
				referrers[i].Annotations = nil
			}
			return yields(referrers, err)
		}
	}},
	{"referrers are listed without artifact type", []string{"referrer is listed with its artifact type and annotations"}, func(a *altered) {
		a.referrers = func(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
			referrers, err := all(a.Store.Referrers(ctx, repo, subject, after))
			for i := range referrers {
				referrers[i].ArtifactType = ""
			}
			return yields(referrers, err)
		}
	}},
	{"referrers in no repository are an error", []string{"absent subject or repository has no referrers"}, func(a *altered) {
		a.referrers = func(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
			if _, err := all(a.Store.Tags(ctx, repo, "")); err != nil {
				return yields[ocispec.Descriptor](nil, err)
			}
			return a.Store.Referrers(ctx, repo, subject, after)
		}
	}},
	{"referrers are those of all repositories", []string{"referrers are those of the repository"}, func(a *altered) {
		a.referrers = func(ctx context.Context, _ string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
			repos, _ := all(a.Store.Repositories(ctx, ""))
			var found []ocispec.Descriptor
			for _, repo := range repos {
				referrers, _ := all(a.Store.Referrers(ctx, repo, subject, after))
				found = append(found, referrers...)
			}
			return yields(found, nil)
		}
	}},
	{"deleted manifests are listed as referrers", []string{"deleted manifest is no referrer", "referrers are those of the repository"}, func(a *altered) {
		was := map[digest.Digest][]ocispec.Descriptor{}
		a.referrers = func(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
			referrers, err := all(a.Store.Referrers(ctx, repo, subject, after))
			if after != "" {
				return yields(referrers, err)
			}
			if len(referrers) > len(was[subject]) {
				was[subject] = referrers
			}
			return yields(was[subject], err)
		}
	}},
	{"referrers go with their subject", []string{"referrers outlive their subject"}, func(a *altered) {
		a.deleteManifest = func(ctx context.Context, repo string, d digest.Digest) error {
			referrers, _ := all(a.Store.Referrers(ctx, repo, d, ""))
			for _, r := range referrers {
				a.Store.DeleteManifest(ctx, repo, r.Digest)
			}
			return a.Store.DeleteManifest(ctx, repo, d)
		}
	}},
	{"lists do not stop", []string{"list may be left early"}, func(a *altered) {
		a.tags = func(ctx context.Context, repo, after string) iter.Seq2[string, error] {
			tags, _ := all(a.Store.Tags(ctx, repo, after))
			return func(yield func(string, error) bool) {
				for _, tag := range tags {
					yield(tag, nil)
				}
			}
		}
	}},
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
	{"a lock is not given back by a list that is left", []string{"list may be left early"}, func(a *altered) {
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
	{"lists go on by number", []string{"listed tags may be deleted"}, func(a *altered) {
		a.tags = func(ctx context.Context, repo, after string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for i := 0; ; i++ {
					tags, err := all(a.Store.Tags(ctx, repo, after))
					if err != nil {
						yield("", err)
						return
					}
					if i >= len(tags) || !yield(tags[i], nil) {
						return
					}
				}
			}
		}
	}},

	{"a write comes between the check and the change", []string{"check and write are one step"}, func(a *altered) {
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
	{"a tag is gone while it moves", []string{"readers see a tag move at once"}, func(a *altered) {
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
	{"one manifest at a time is put", []string{"concurrent writers and readers agree"}, func(a *altered) {
		var current atomic.Pointer[registry.Manifest]
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			current.Store(&m)
			for range 100 {
				runtime.Gosched()
			}
			return a.Store.PutManifest(ctx, repo, *current.Load(), tags, check)
		}
	}},
	{"a reader that is closed leaves a goroutine", []string{"no goroutine is left running"}, func(a *altered) {
		a.readers(func(r *alteredReader) {
			go func() { <-a.done }()
		})
	}},
}

type wholeWriter struct{ io.ReadSeekCloser }

func (r wholeWriter) WriteTo(w io.Writer) (int64, error) {
	r.Seek(0, io.SeekStart)
	return io.Copy(w, struct{ io.Reader }{r.ReadSeekCloser})
}

// lockWrites makes PutManifest and DeleteTag take a lock.
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

// locked holds the lock while it yields.
func locked[T any](lock *sync.Mutex, list iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		lock.Lock()
		defer lock.Unlock()
		list(yield)
	}
}

func TestRulesAreKeptByASoundStore(t *testing.T) {
	t.Parallel()
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			require.Empty(t, failures(t, rule, alter(t, func(*altered) {}), time.Minute))
		})
	}
}

func TestRulesNoticeWhatIsWrong(t *testing.T) {
	t.Parallel()
	byName := map[string]rule{}
	unproven := map[string]bool{}
	for _, rule := range rules {
		require.NotContains(t, byName, rule.name)
		byName[rule.name], unproven[rule.name] = rule, true
	}
	for _, alteration := range alterations {
		for _, name := range alteration.rules {
			require.Contains(t, byName, name, "rule for %q", alteration.what)
			delete(unproven, name)
			t.Run(alteration.what+"/"+name, func(t *testing.T) {
				t.Parallel()
				// What is stuck has to be noticed, but what is slow may be taken
				// for stuck: either way the rule fails.
				found := failures(t, byName[name], alter(t, alteration.how), 200*time.Millisecond)
				require.NotEmpty(t, found, "rule %q has nothing against it that %s", name, alteration.what)
				t.Log(found[0])
			})
		}
	}
	require.Empty(t, unproven, "rules that nothing shows to be able to fail")
}
