package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"
)

var blobRules = []rule{
	{"committed blob can be read", func(t *storeTest) {
		for algorithm, sizes := range map[digest.Algorithm][]int{
			digest.SHA256: {0, 1, 1000, 4096, 100_000, 3<<20 + 7},
			digest.SHA384: {0, 1, 100_000},
			digest.SHA512: {0, 1, 100_000},
		} {
			for _, size := range sizes {
				content := t.bytes(size)
				d := algorithm.FromBytes(content)
				w := t.create("app", int64(size))
				t.write(w, content)
				t.commit(w, d)
				t.wantBlob("app", d, content)
			}
		}
	}},
	{"announced size may be wrong", func(t *storeTest) {
		for _, size := range []int{0, 1, 5000, 1<<20 + 1} {
			for _, announced := range []int64{-1, 0, int64(size) / 2, int64(size) + 1, int64(size) * 2, 1 << 50} {
				content := t.bytes(size)
				w := t.create("app", announced)
				t.write(w, content)
				t.commit(w, digest.FromBytes(content))
				t.wantBlob("app", digest.FromBytes(content), content)
			}
		}
	}},
	{"blob is written piece by piece", func(t *storeTest) {
		content := t.bytes(300_000)
		w := t.create("app", int64(len(content)))
		for rest, n := content, 0; len(rest) > 0; n = n*2 + 1 {
			n = min(n, len(rest))
			t.write(w, rest[:n])
			rest = rest[n:]
		}
		t.commit(w, digest.FromBytes(content))
		t.wantBlob("app", digest.FromBytes(content), content)
	}},
	{"writer does not keep the slice passed to Write", func(t *storeTest) {
		content := t.bytes(10_000)
		p := bytes.Clone(content)
		w := t.create("app", int64(len(content)))
		t.write(w, p)
		clear(p)
		t.commit(w, digest.FromBytes(content))
		t.wantBlob("app", digest.FromBytes(content), content)
	}},
	{"ReadAt reads back the written bytes", func(t *storeTest) {
		content := t.bytes(200_000)
		w := t.create("app", -1)
		for written := 0; written < len(content); written += 50_000 {
			t.write(w, content[written:written+50_000])
			for _, off := range []int{0, 1, written, written + 49_999} {
				p := make([]byte, written+50_000-off)
				if n, err := w.ReadAt(p, int64(off)); n != len(p) || err != nil && err != io.EOF {
					t.Fatalf("after %d bytes were written, ReadAt(%d bytes, %d) = %d, %v", written+50_000, len(p), off, n, err)
				}
				if !bytes.Equal(p, content[off:written+50_000]) {
					t.Fatalf("after %d bytes were written, ReadAt at offset %d reads wrong bytes", written+50_000, off)
				}
			}
		}
		p := make([]byte, 100)
		if n, err := w.ReadAt(p, 199_990); n != 10 || err != io.EOF || !bytes.Equal(p[:n], content[199_990:]) {
			t.Errorf("ReadAt(100 bytes, 10 before the end) = %d, %v; want 10, EOF", n, err)
		}
		if n, err := w.ReadAt(p, 200_000); n != 0 || err != io.EOF {
			t.Errorf("ReadAt(100 bytes, at the end) = %d, %v; want 0, EOF", n, err)
		}
		t.commit(w, digest.FromBytes(content))
		t.wantBlob("app", digest.FromBytes(content), content)
	}},
	{"ReadFrom keeps the bytes before an error", func(t *storeTest) {
		// For a writer without ReadFrom, io.Copy calls Write with the same
		// bytes.
		content := t.bytes(150_000)
		broken := errors.New("connection reset")
		for _, announced := range []int64{-1, 100, 70_000, 150_000, 1 << 40} {
			w := t.create("app", announced)
			src := io.MultiReader(bytes.NewReader(content[:70_000]), failingReader{broken})
			if n, err := io.Copy(w, struct{ io.Reader }{src}); n != 70_000 || err != broken {
				t.Fatalf("io.Copy of 70000 bytes and an error = %d, %v", n, err)
			}
			if n, err := io.Copy(w, oneByteReader{bytes.NewReader(content[70_000:71_000])}); n != 1000 || err != nil {
				t.Fatalf("io.Copy of 1000 single bytes = %d, %v", n, err)
			}
			t.write(w, content[71_000:80_000])
			if n, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(content[80_000:])}); n != 70_000 || err != nil {
				t.Fatalf("io.Copy of 70000 more bytes = %d, %v", n, err)
			}
			t.commit(w, digest.FromBytes(content))
			t.wantBlob("app", digest.FromBytes(content), content)
		}
	}},
	{"ReadFrom gives up on a stuck reader", func(t *storeTest) {
		w := t.create("app", -1)
		r, ok := w.(io.ReaderFrom)
		if !ok {
			t.Skip("the BlobWriter has no ReadFrom")
		}
		t.within("ReadFrom of a reader that returns 0, nil", func(t *storeTest) {
			if n, err := r.ReadFrom(stuckReader{}); n != 0 || !errors.Is(err, io.ErrNoProgress) {
				t.Errorf("ReadFrom = %d, %v; want 0, %v", n, err, io.ErrNoProgress)
			}
		})
	}},
	{"uncommitted blob does not exist", func(t *storeTest) {
		content := t.bytes(10_000)
		d := digest.FromBytes(content)
		w := t.create("app", int64(len(content)))
		t.wantNoBlob("app", d)
		t.write(w, content)
		t.wantNoBlob("app", d)
		t.wantNotExist("MountBlob of an uncommitted blob", t.store.MountBlob(t.ctx, "other", d, ""))
		t.wantNotExist("MountBlob of an uncommitted blob", t.store.MountBlob(t.ctx, "other", d, "app"))
		t.wantRepositories("")
		t.wantNoRepository("app")
		t.commit(w, d)
		t.wantBlob("app", d, content)
	}},
	{"Close discards an uncommitted blob", func(t *storeTest) {
		content := t.bytes(10_000)
		d := digest.FromBytes(content)
		w := t.create("app", int64(len(content)))
		t.write(w, content)
		if err := w.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		t.wantNoBlob("app", d)
		t.wantNotExist("MountBlob of an uncommitted blob", t.store.MountBlob(t.ctx, "other", d, ""))
		t.wantRepositories("")
	}},
	{"Close keeps a committed blob", func(t *storeTest) {
		content := t.bytes(10_000)
		d := digest.FromBytes(content)
		w := t.create("app", int64(len(content)))
		t.write(w, content)
		t.commit(w, d)
		if err := w.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		t.wantBlob("app", d, content)
	}},
	{"writer outlives its context", func(t *storeTest) {
		content := t.bytes(10_000)
		ctx, cancel := context.WithCancel(t.ctx)
		w, err := t.store.CreateBlob(ctx, "app", int64(len(content)))
		if err != nil {
			t.Fatalf("CreateBlob: %v", err)
		}
		defer w.Close()
		t.write(w, content[:5000])
		cancel()
		t.write(w, content[5000:])
		t.commit(w, digest.FromBytes(content))
		t.wantBlob("app", digest.FromBytes(content), content)
	}},
	{"blob may be committed again", func(t *storeTest) {
		content := t.bytes(10_000)
		d := t.push("app", content)
		first, second := t.create("app", -1), t.create("app", -1)
		t.write(first, content)
		t.write(second, content)
		t.commit(second, d)
		t.commit(first, d)
		t.wantBlob("app", d, content)
		t.push("other", content)
		t.wantBlob("other", d, content)
		t.wantBlob("app", d, content)
	}},
	{"blob belongs to its repository", func(t *storeTest) {
		t.needsOwnBlobs()
		content := t.bytes(100)
		d := t.push("app", content)
		t.push("app/other", t.bytes(100))
		for _, repo := range []string{"app/other", "ap", "app/none"} {
			t.wantNoBlob(repo, d)
			t.wantNotExist("DeleteBlob in "+repo, t.store.DeleteBlob(t.ctx, repo, d))
		}
		t.wantBlob("app", d, content)
		t.push("app/other", content)
		t.delete("app", d)
		t.wantNoBlob("app", d)
		t.wantBlob("app/other", d, content)
	}},
	{"absent blob wraps fs.ErrNotExist", func(t *storeTest) {
		t.push("app", t.bytes(100))
		d := digest.FromBytes(t.bytes(100))
		for _, repo := range []string{"app", "none"} {
			t.wantNoBlob(repo, d)
			t.wantNotExist("DeleteBlob", t.store.DeleteBlob(t.ctx, repo, d))
			t.wantNotExist("MountBlob from "+repo, t.store.MountBlob(t.ctx, "other", d, repo))
		}
		t.wantNotExist("MountBlob without from", t.store.MountBlob(t.ctx, "other", d, ""))
		t.wantRepositories("", "app")
	}},
	{"deleted blob is gone", func(t *storeTest) {
		content := t.bytes(10_000)
		d, other := t.push("app", content), t.push("app", t.bytes(10))
		t.delete("app", d)
		t.wantNoBlob("app", d)
		t.wantNotExist("DeleteBlob of a deleted blob", t.store.DeleteBlob(t.ctx, "app", d))
		t.wantNotExist("MountBlob of a deleted blob", t.store.MountBlob(t.ctx, "other", d, ""))
		if _, err := t.store.StatBlob(t.ctx, "app", other); err != nil {
			t.Errorf("StatBlob of another blob: %v", err)
		}
		t.push("app", content)
		t.wantBlob("app", d, content)
	}},
	{"open reader outlives its blob", func(t *storeTest) {
		content := t.bytes(3 << 20)
		d := t.push("app", content)
		r := t.open("app", d)
		first := make([]byte, 1000)
		if _, err := io.ReadFull(r, first); err != nil {
			t.Fatalf("reading: %v", err)
		}
		t.delete("app", d)
		rest, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(append(first, rest...), content) {
			t.Errorf("after DeleteBlob, an open reader reads %d bytes of %d, %v", len(rest), len(content)-1000, err)
		}
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			t.Errorf("after DeleteBlob, Seek: %v", err)
		}
	}},
	{"reader seeks", func(t *storeTest) {
		content := t.bytes(200_000)
		r := t.open("app", t.push("app", content))
		for _, step := range []struct {
			offset int64
			whence int
			want   int64
		}{
			{0, io.SeekEnd, 200_000}, {0, io.SeekStart, 0}, {100_000, io.SeekStart, 100_000}, {0, io.SeekCurrent, 100_010},
			{-20, io.SeekCurrent, 100_000}, {-5, io.SeekEnd, 199_995}, {300_000, io.SeekStart, 300_000},
			{4095, io.SeekStart, 4095}, {10, io.SeekCurrent, 4115}, {65_536, io.SeekStart, 65_536},
		} {
			got, err := r.Seek(step.offset, step.whence)
			if got != step.want || err != nil {
				t.Fatalf("Seek(%d, %d) = %d, %v; want %d", step.offset, step.whence, got, err, step.want)
			}
			p := make([]byte, 10)
			n, err := io.ReadFull(r, p)
			if want := content[min(got, 200_000):min(got+10, 200_000)]; !bytes.Equal(p[:n], want) || (err == nil) != (len(want) == 10) {
				t.Fatalf("after Seek(%d, %d), read %d bytes, %v; want %d", step.offset, step.whence, n, err, len(want))
			}
		}
		if _, err := r.Seek(-1, io.SeekStart); err == nil {
			t.Error("Seek(-1, io.SeekStart) succeeds")
		}
	}},
	{"readers of a blob are independent", func(t *storeTest) {
		content := t.bytes(100_000)
		d := t.push("app", content)
		a, b := t.open("app", d), t.open("app", d)
		if _, err := io.CopyN(io.Discard, a, 50_000); err != nil {
			t.Fatalf("reading: %v", err)
		}
		if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, content) {
			t.Errorf("second reader reads %d bytes of %d, %v", len(got), len(content), err)
		}
		b.Close()
		if got, err := io.ReadAll(a); err != nil || !bytes.Equal(got, content[50_000:]) {
			t.Errorf("first reader reads %d more bytes of %d, %v", len(got), len(content)-50_000, err)
		}
	}},
	{"WriteTo starts at the current offset", func(t *storeTest) {
		content := t.bytes(2<<20 + 3)
		r := t.open("app", t.push("app", content))
		if _, err := r.Seek(1000, io.SeekStart); err != nil {
			t.Fatalf("Seek: %v", err)
		}
		var got bytes.Buffer
		if n, err := io.Copy(&got, r); n != int64(len(content)-1000) || err != nil || !bytes.Equal(got.Bytes(), content[1000:]) {
			t.Errorf("io.Copy from offset 1000 of %d bytes = %d, %v, right bytes: %t", len(content), n, err, bytes.Equal(got.Bytes(), content[1000:]))
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("Read after io.Copy = %d, %v; want 0, EOF", n, err)
		}
	}},
}

var mountRules = []rule{
	{"mounted blob can be read", func(t *storeTest) {
		content := t.bytes(10_000)
		d := t.push("from", content)
		if err := t.store.MountBlob(t.ctx, "to/here", d, "from"); err != nil {
			t.Fatalf("MountBlob: %v", err)
		}
		t.wantBlob("to/here", d, content)
		t.wantBlob("from", d, content)
		if !t.sharesBlobs() {
			t.wantRepositories("", "from", "to/here")
		}
	}},
	{"blob is mounted from any repository", func(t *storeTest) {
		content := t.bytes(10_000)
		for _, repo := range []string{"a", "b", "c/d"} {
			t.push(repo, t.bytes(10))
		}
		d := t.push("b", content)
		if err := t.store.MountBlob(t.ctx, "to", d, ""); err != nil {
			t.Fatalf("MountBlob: %v", err)
		}
		t.wantBlob("to", d, content)
	}},
	{"blob is mounted only from a repository that has it", func(t *storeTest) {
		t.needsOwnBlobs()
		d := t.push("from", t.bytes(10_000))
		t.push("other", t.bytes(10))
		t.wantNotExist("MountBlob from a repository without it", t.store.MountBlob(t.ctx, "to", d, "other"))
		t.wantNotExist("MountBlob from an absent repository", t.store.MountBlob(t.ctx, "to", d, "none"))
		t.wantNotExist("MountBlob from a prefix of the repository's name", t.store.MountBlob(t.ctx, "to", d, "fro"))
		t.wantNoBlob("to", d)
		t.wantRepositories("", "from", "other")
	}},
	{"blob may be mounted where it exists", func(t *storeTest) {
		t.needsOwnBlobs()
		content := t.bytes(10_000)
		d := t.push("app", content)
		t.push("other", content)
		for _, from := range []string{"app", "other", ""} {
			if err := t.store.MountBlob(t.ctx, "app", d, from); err != nil {
				t.Errorf("MountBlob from %q: %v", from, err)
			}
		}
		t.wantBlob("app", d, content)
		t.delete("app", d)
		t.wantNoBlob("app", d)
		t.wantBlob("other", d, content)
	}},
	{"mounted blob outlives the one it was mounted from", func(t *storeTest) {
		t.needsOwnBlobs()
		content := t.bytes(10_000)
		d := t.push("from", content)
		for _, to := range []string{"to", "to/too"} {
			if err := t.store.MountBlob(t.ctx, to, d, "from"); err != nil {
				t.Fatalf("MountBlob: %v", err)
			}
		}
		t.delete("from", d)
		t.wantNoBlob("from", d)
		t.wantNotExist("MountBlob from a repository that deleted the blob", t.store.MountBlob(t.ctx, "late", d, "from"))
		t.delete("to", d)
		t.wantNoBlob("to", d)
		t.wantBlob("to/too", d, content)
		if err := t.store.MountBlob(t.ctx, "late", d, ""); err != nil {
			t.Fatalf("MountBlob without from, of a blob that is left in another repository: %v", err)
		}
		t.wantBlob("late", d, content)
	}},
}
