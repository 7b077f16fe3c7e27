package conformance

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

// blobAlterations are alterations that break blobs and mounts.
var blobAlterations = []alteration{
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
	{"bytes beyond the announced size are lost", []string{"announced size may be wrong"}, func(a *altered) {
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
	{"missing bytes of the announced size are zero", []string{"announced size may be wrong"}, func(a *altered) {
		a.writers(func(w *alteredWriter) {
			w.commit = func(ctx context.Context, d digest.Digest) error {
				if n := w.size - int64(len(w.all)); 0 < n && n < 1<<20 {
					w.BlobWriter.Write(make([]byte, n))
				}
				return w.BlobWriter.Commit(ctx, d)
			}
		})
	}},
	{"each Write replaces the one before", []string{"blob is written piece by piece"}, func(a *altered) {
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
	{"the writer keeps the slice passed to Write", []string{"writer does not keep the slice passed to Write"}, func(a *altered) {
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
	{"ReadAt does not return io.EOF", []string{"ReadAt reads back the written bytes"}, func(a *altered) {
		a.writers(func(w *alteredWriter) {
			w.readAt = func(p []byte, off int64) (int, error) {
				n, _ := w.BlobWriter.ReadAt(p, off)
				return n, nil
			}
		})
	}},
	{"ReadFrom loses the bytes before an error", []string{"ReadFrom keeps the bytes before an error"}, func(a *altered) {
		a.readFroms(func(w registry.BlobWriter, r io.Reader) (int64, error) {
			p, err := io.ReadAll(r)
			if err == nil {
				_, err = w.Write(p)
			}
			return int64(len(p)), err
		})
	}},
	{"ReadFrom treats an error as the end", []string{"ReadFrom keeps the bytes before an error"}, func(a *altered) {
		a.readFroms(func(w registry.BlobWriter, r io.Reader) (int64, error) {
			p, _ := io.ReadAll(r)
			n, err := w.Write(p)
			return int64(n), err
		})
	}},
	{"ReadFrom treats 0, nil as the end", []string{"ReadFrom gives up on a stuck reader"}, func(a *altered) {
		a.readFroms(func(w registry.BlobWriter, r io.Reader) (int64, error) { return 0, nil })
	}},
	{"the writer has no ReadFrom", []string{"ReadFrom gives up on a stuck reader"}, func(a *altered) {
		// Without ReadFrom, the rule skips the store, and a skip counts as a
		// failure here.
		a.writers(func(*alteredWriter) {})
	}},
	{"an uncommitted blob can be read", []string{"uncommitted blob does not exist", "Close discards an uncommitted blob"}, func(a *altered) {
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
	{"Close discards a committed blob", []string{"Close keeps a committed blob"}, func(a *altered) {
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
	{"an existing blob cannot be committed", []string{"blob may be committed again"}, func(a *altered) {
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
	{"an absent blob does not wrap fs.ErrNotExist", []string{"absent blob wraps fs.ErrNotExist"}, func(a *altered) {
		a.statBlob = func(ctx context.Context, repo string, d digest.Digest) (int64, error) {
			size, err := a.Store.StatBlob(ctx, repo, d)
			if err != nil {
				err = errAltered
			}
			return size, err
		}
	}},
	{"deleting absent content succeeds", []string{
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
	{"all callers share one reader", []string{"readers of a blob are independent"}, func(a *altered) {
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
	{"mounting ignores from", []string{"blob is mounted only from a repository that has it"}, func(a *altered) {
		a.mountBlob = func(ctx context.Context, repo string, d digest.Digest, _ string) error {
			return a.Store.MountBlob(ctx, repo, d, "")
		}
	}},
	{"an existing blob cannot be mounted", []string{"blob may be mounted where it exists"}, func(a *altered) {
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
}

type wholeWriter struct{ io.ReadSeekCloser }

func (r wholeWriter) WriteTo(w io.Writer) (int64, error) {
	r.Seek(0, io.SeekStart)
	return io.Copy(w, struct{ io.Reader }{r.ReadSeekCloser})
}
