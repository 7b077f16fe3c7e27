package registrytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
)

// A storeRule is something that is said of a store and can be checked.
type storeRule struct {
	name  string
	check func(t *storeTest)
}

var storeRules = slices.Concat(blobRules, mountRules, manifestRules, listRules, concurrencyRules)

var blobRules = []storeRule{
	{"committed blob is there", func(t *storeTest) {
		for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
			for _, size := range []int{0, 1, 1000, 4096, 100_000, 3<<20 + 7} {
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
	{"writer does not keep what it was passed", func(t *storeTest) {
		content := t.bytes(10_000)
		p := bytes.Clone(content)
		w := t.create("app", int64(len(content)))
		t.write(w, p)
		clear(p)
		t.commit(w, digest.FromBytes(content))
		t.wantBlob("app", digest.FromBytes(content), content)
	}},
	{"ReadAt reads back what was written", func(t *storeTest) {
		content := t.bytes(200_000)
		w := t.create("app", -1)
		for written := 0; written < len(content); written += 50_000 {
			t.write(w, content[written:written+50_000])
			for _, off := range []int{0, 1, written, written + 49_999} {
				p := make([]byte, written+50_000-off)
				if n, err := w.ReadAt(p, int64(off)); n != len(p) || err != nil && err != io.EOF {
					t.Fatalf("of %d bytes written, ReadAt(%d bytes, %d) = %d, %v", written+50_000, len(p), off, n, err)
				}
				if !bytes.Equal(p, content[off:written+50_000]) {
					t.Fatalf("of %d bytes written, ReadAt from %d on reads something else", written+50_000, off)
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
	{"ReadFrom keeps what arrives", func(t *storeTest) {
		// io.Copy does the same for a writer that has no ReadFrom.
		content := t.bytes(150_000)
		broken := errors.New("connection reset")
		for _, announced := range []int64{-1, 100, 70_000, 150_000, 1 << 40} {
			w := t.create("app", announced)
			src := io.MultiReader(bytes.NewReader(content[:70_000]), failingReader{broken})
			if n, err := io.Copy(w, struct{ io.Reader }{src}); n != 70_000 || err != broken {
				t.Fatalf("reading 70000 bytes and then an error: %d, %v", n, err)
			}
			if n, err := io.Copy(w, oneByteReader{bytes.NewReader(content[70_000:71_000])}); n != 1000 || err != nil {
				t.Fatalf("reading 1000 bytes one by one: %d, %v", n, err)
			}
			t.write(w, content[71_000:80_000])
			if n, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(content[80_000:])}); n != 70_000 || err != nil {
				t.Fatalf("reading 70000 bytes more: %d, %v", n, err)
			}
			t.commit(w, digest.FromBytes(content))
			t.wantBlob("app", digest.FromBytes(content), content)
		}
	}},
	{"ReadFrom gives up on a stuck reader", func(t *storeTest) {
		w := t.create("app", -1)
		r, ok := w.(io.ReaderFrom)
		if !ok {
			t.Skip("writer has no ReadFrom")
		}
		t.within("reading from a reader that returns 0, nil", func(t *storeTest) {
			if n, err := r.ReadFrom(stuckReader{}); n != 0 || !errors.Is(err, io.ErrNoProgress) {
				t.Errorf("ReadFrom = %d, %v; want 0, %v", n, err, io.ErrNoProgress)
			}
		})
	}},
	{"blob is not there until it is committed", func(t *storeTest) {
		content := t.bytes(10_000)
		d := digest.FromBytes(content)
		w := t.create("app", int64(len(content)))
		t.wantNoBlob("app", d)
		t.write(w, content)
		t.wantNoBlob("app", d)
		t.wantNotExist("MountBlob of it to another repository", t.store.MountBlob(t.ctx, "other", d, ""))
		t.wantNotExist("MountBlob of it to another repository", t.store.MountBlob(t.ctx, "other", d, "app"))
		t.wantRepositories("")
		t.wantNoRepository("app")
		t.commit(w, d)
		t.wantBlob("app", d, content)
	}},
	{"Close discards what is not committed", func(t *storeTest) {
		content := t.bytes(10_000)
		d := digest.FromBytes(content)
		w := t.create("app", int64(len(content)))
		t.write(w, content)
		if err := w.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		t.wantNoBlob("app", d)
		t.wantNotExist("MountBlob of it to another repository", t.store.MountBlob(t.ctx, "other", d, ""))
		t.wantRepositories("")
	}},
	{"Close keeps what is committed", func(t *storeTest) {
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
	{"blob that is not there does not exist", func(t *storeTest) {
		t.push("app", t.bytes(100))
		d := digest.FromBytes(t.bytes(100))
		for _, repo := range []string{"app", "none"} {
			t.wantNoBlob(repo, d)
			t.wantNotExist("DeleteBlob", t.store.DeleteBlob(t.ctx, repo, d))
			t.wantNotExist("MountBlob from "+repo, t.store.MountBlob(t.ctx, "other", d, repo))
		}
		t.wantNotExist("MountBlob from anywhere", t.store.MountBlob(t.ctx, "other", d, ""))
		t.wantRepositories("", "app")
	}},
	{"deleted blob is not there", func(t *storeTest) {
		content := t.bytes(10_000)
		d, other := t.push("app", content), t.push("app", t.bytes(10))
		t.delete("app", d)
		t.wantNoBlob("app", d)
		t.wantNotExist("DeleteBlob once more", t.store.DeleteBlob(t.ctx, "app", d))
		t.wantNotExist("MountBlob of it", t.store.MountBlob(t.ctx, "other", d, ""))
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
			t.Errorf("after the blob was deleted, reading on gives %d bytes of %d, %v", len(rest), len(content)-1000, err)
		}
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			t.Errorf("after the blob was deleted, Seek: %v", err)
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
			t.Errorf("first reader reads %d bytes more of %d, %v", len(got), len(content)-50_000, err)
		}
	}},
	{"reader that writes itself starts where it is", func(t *storeTest) {
		content := t.bytes(2<<20 + 3)
		r := t.open("app", t.push("app", content))
		if _, err := r.Seek(1000, io.SeekStart); err != nil {
			t.Fatalf("Seek: %v", err)
		}
		var got bytes.Buffer
		if n, err := io.Copy(&got, r); n != int64(len(content)-1000) || err != nil || !bytes.Equal(got.Bytes(), content[1000:]) {
			t.Errorf("io.Copy from offset 1000 of %d = %d, %v, or other bytes", len(content), n, err)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("Read after that = %d, %v; want 0, EOF", n, err)
		}
	}},
}

var mountRules = []storeRule{
	{"mounted blob is there", func(t *storeTest) {
		content := t.bytes(10_000)
		d := t.push("from", content)
		if err := t.store.MountBlob(t.ctx, "to/here", d, "from"); err != nil {
			t.Fatalf("MountBlob: %v", err)
		}
		t.wantBlob("to/here", d, content)
		t.wantBlob("from", d, content)
		t.wantRepositories("", "from", "to/here")
	}},
	{"blob is mounted from anywhere", func(t *storeTest) {
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
	{"blob is mounted only from where it is", func(t *storeTest) {
		d := t.push("from", t.bytes(10_000))
		t.push("other", t.bytes(10))
		t.wantNotExist("MountBlob from a repository without it", t.store.MountBlob(t.ctx, "to", d, "other"))
		t.wantNotExist("MountBlob from no repository", t.store.MountBlob(t.ctx, "to", d, "none"))
		t.wantNotExist("MountBlob from a repository that begins like its own", t.store.MountBlob(t.ctx, "to", d, "fro"))
		t.wantNoBlob("to", d)
		t.wantRepositories("", "from", "other")
	}},
	{"blob may be mounted where it is", func(t *storeTest) {
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
		content := t.bytes(10_000)
		d := t.push("from", content)
		for _, to := range []string{"to", "to/too"} {
			if err := t.store.MountBlob(t.ctx, to, d, "from"); err != nil {
				t.Fatalf("MountBlob: %v", err)
			}
		}
		t.delete("from", d)
		t.wantNoBlob("from", d)
		t.wantNotExist("MountBlob from where it was deleted", t.store.MountBlob(t.ctx, "late", d, "from"))
		t.delete("to", d)
		t.wantNoBlob("to", d)
		t.wantBlob("to/too", d, content)
		if err := t.store.MountBlob(t.ctx, "late", d, ""); err != nil {
			t.Fatalf("MountBlob from where it is left: %v", err)
		}
		t.wantBlob("late", d, content)
	}},
}

var manifestRules = []storeRule{
	{"manifest is there by digest and tag", func(t *storeTest) {
		image := t.image("app", imageSpec{})
		index := t.index("app", image)
		sha384 := t.image("app", imageSpec{algorithm: digest.SHA384})
		sha512 := t.image("app", imageSpec{algorithm: digest.SHA512})
		t.put("app", image)
		t.put("app", index, "latest")
		t.put("app", sha384, "sha384")
		t.put("app", sha512, "sha512", "V1.0-rc_1")
		t.wantManifest("app", image)
		t.wantManifest("app", index, "latest")
		t.wantManifest("app", sha384, "sha384")
		t.wantManifest("app", sha512, "sha512", "V1.0-rc_1")
	}},
	{"manifest is kept byte for byte", func(t *storeTest) {
		image := t.image("app", imageSpec{})
		var indented bytes.Buffer
		if err := json.Indent(&indented, image.Content, " ", "\t"); err != nil {
			t.Fatal(err)
		}
		indented.WriteString("\r\n\n")
		m := t.parse(digest.SHA256, image.MediaType, indented.Bytes())
		t.put("app", m, "v1")
		t.wantManifest("app", m, "v1")
	}},
	{"manifest is of any media type", func(t *storeTest) {
		config := t.bytes(64)
		blob := map[string]any{"mediaType": "application/octet-stream", "digest": t.push("app", config), "size": len(config)}
		for mediaType, doc := range map[string]map[string]any{
			manifest.DockerManifest:                    {"schemaVersion": 2, "config": blob, "layers": []any{blob}},
			manifest.DockerManifestList:                {"schemaVersion": 2, "manifests": []any{}},
			manifest.OCIArtifactManifest:               {"blobs": []any{blob}, "artifactType": "application/vnd.example.thing"},
			"application/vnd.example.manifest.v7+json": {"layers": "none of the usual"},
		} {
			doc["mediaType"] = mediaType
			content := t.json(doc)
			m := registry.Manifest{MediaType: mediaType, Digest: digest.FromBytes(content), Content: content}
			t.put("app", m, "latest")
			t.wantManifest("app", m, "latest")
		}
		// One that a registry does not look into.
		content := []byte(`{"schemaVersion": 1, "fsLayers": [{"blobSum": "sha256:0"}], "signatures": []}`)
		m := registry.Manifest{MediaType: manifest.DockerSchema1Signed, Digest: digest.FromBytes(content), Content: content}
		t.put("app", m, "latest")
		t.wantManifest("app", m, "latest")
	}},
	{"manifest that is not there does not exist", func(t *storeTest) {
		m, none := t.image("app", imageSpec{}), t.image("app", imageSpec{})
		t.put("app", m, "v1")
		t.push("blobs/only", t.bytes(10))
		for _, repo := range []string{"app", "blobs/only", "none"} {
			t.wantNoManifest(repo, string(none.Digest))
			t.wantNoManifest(repo, "v2")
			t.wantNotExist("DeleteManifest in "+repo, t.store.DeleteManifest(t.ctx, repo, none.Digest))
			t.wantNotExist("DeleteTag in "+repo, t.store.DeleteTag(t.ctx, repo, "v2"))
		}
		t.wantManifest("app", m, "v1")
	}},
	{"manifest belongs to its repository", func(t *storeTest) {
		m := t.image("app", imageSpec{})
		t.put("app", m, "v1")
		t.put("app/other", t.image("app/other", imageSpec{}), "v2")
		for _, repo := range []string{"app/other", "ap"} {
			t.wantNoManifest(repo, "v1")
			t.wantNoManifest(repo, string(m.Digest))
			t.wantNotExist("DeleteManifest in "+repo, t.store.DeleteManifest(t.ctx, repo, m.Digest))
			t.wantNotExist("DeleteTag in "+repo, t.store.DeleteTag(t.ctx, repo, "v1"))
		}
		t.copyBlobs("app", "app/other", m)
		t.put("app/other", m, "v1")
		t.deleteManifest("app", m.Digest)
		t.wantManifest("app/other", m, "v1")
		t.wantTags("app")
		t.wantTags("app/other", "v1", "v2")
	}},
	{"manifest may be put again", func(t *storeTest) {
		m := t.image("app", imageSpec{})
		t.put("app", m, "v1")
		t.put("app", m)
		t.wantManifest("app", m, "v1")
		t.put("app", m, "v2")
		t.wantManifest("app", m, "v1", "v2")
		t.put("app", m, "v2", "v1")
		t.wantManifest("app", m, "v1", "v2")
		t.wantTags("app", "v1", "v2")
		t.deleteManifest("app", m.Digest)
		t.wantNoManifest("app", "v1")
		t.wantNoManifest("app", "v2")
	}},
	{"media type is the last one put", func(t *storeTest) {
		subject := t.image("app", imageSpec{}).Digest
		m := t.image("app", imageSpec{subject: subject, noMediaType: true})
		t.put("app", m, "v1", "v2")
		t.wantReferrers("app", subject, m)
		m.MediaType = manifest.DockerManifest
		t.put("app", m, "v2")
		t.wantManifest("app", m, "v1", "v2")
		t.wantReferrers("app", subject, m)
		m.MediaType = ocispec.MediaTypeImageManifest
		t.put("app", m)
		t.wantManifest("app", m, "v1", "v2")
		t.wantReferrers("app", subject, m)
		t.wantTags("app", "v1", "v2")
	}},
	{"media type is that of the repository", func(t *storeTest) {
		m := t.image("app", imageSpec{noMediaType: true})
		t.copyBlobs("app", "other", m)
		docker := m
		docker.MediaType = manifest.DockerManifest
		t.put("app", m, "v1")
		t.put("other", docker, "v1")
		t.wantManifest("app", m, "v1")
		t.wantManifest("other", docker, "v1")
	}},
	{"tag moves", func(t *storeTest) {
		a, b := t.image("app", imageSpec{}), t.image("app", imageSpec{})
		t.put("app", a, "stays", "moves")
		t.put("app", b, "moves")
		t.wantManifest("app", a, "stays")
		t.wantManifest("app", b, "moves")
		t.wantTags("app", "moves", "stays")
		t.deleteManifest("app", a.Digest)
		t.wantNoManifest("app", "stays")
		t.wantManifest("app", b, "moves")
		t.wantTags("app", "moves")
	}},
	{"tag is case-sensitive", func(t *storeTest) {
		a, b := t.image("app", imageSpec{}), t.image("app", imageSpec{})
		t.put("app", a, "rc1")
		t.put("app", b, "RC1")
		t.wantManifest("app", a, "rc1")
		t.wantManifest("app", b, "RC1")
		t.wantNoManifest("app", "Rc1")
	}},
	{"deleting a manifest deletes its tags", func(t *storeTest) {
		a, b := t.image("app", imageSpec{}), t.image("app", imageSpec{})
		t.put("app", a, "a1", "c", "a2")
		t.put("app", b, "b1", "b2")
		t.put("app", a, "b2")
		t.deleteManifest("app", a.Digest)
		t.wantNoManifest("app", string(a.Digest))
		for _, tag := range []string{"a1", "a2", "b2", "c"} {
			t.wantNoManifest("app", tag)
			t.wantNotExist("DeleteTag", t.store.DeleteTag(t.ctx, "app", tag))
		}
		t.wantNotExist("DeleteManifest once more", t.store.DeleteManifest(t.ctx, "app", a.Digest))
		t.wantTags("app", "b1")
		t.wantManifest("app", b, "b1")
		t.put("app", a)
		t.wantManifest("app", a)
		t.wantTags("app", "b1")
	}},
	{"deleting a tag keeps its manifest", func(t *storeTest) {
		m := t.image("app", imageSpec{})
		t.put("app", m, "v1", "v2")
		for _, tag := range []string{"v2", "v1"} {
			if err := t.store.DeleteTag(t.ctx, "app", tag); err != nil {
				t.Fatalf("DeleteTag(%s): %v", tag, err)
			}
			t.wantNoManifest("app", tag)
			t.wantNotExist("DeleteTag once more", t.store.DeleteTag(t.ctx, "app", tag))
			t.wantManifest("app", m)
		}
		t.wantTags("app")
		t.put("app", t.image("app", imageSpec{}), "v1")
		t.deleteManifest("app", m.Digest)
		t.wantTags("app", "v1")
	}},
	{"deleting a manifest keeps its blobs", func(t *storeTest) {
		m := t.image("app", imageSpec{})
		t.put("app", m, "v1")
		t.deleteManifest("app", m.Digest)
		for d := range t.document(m).RequiredBlobs {
			if _, err := t.store.StatBlob(t.ctx, "app", d); err != nil {
				t.Errorf("StatBlob after DeleteManifest: %v", err)
			}
		}
	}},
	{"check is told what is there", func(t *storeTest) {
		a, b := t.image("app", imageSpec{}), t.image("app", imageSpec{})
		type call struct {
			tag     string
			current digest.Digest
		}
		for _, step := range []struct {
			m    registry.Manifest
			tags []string
			want []call
		}{
			{a, nil, []call{{"", ""}}},
			{a, nil, []call{{"", a.Digest}}},
			{a, []string{"v1", "v2"}, []call{{"v1", ""}, {"v2", ""}}},
			{b, []string{"v3", "v2"}, []call{{"v2", a.Digest}, {"v3", ""}}},
			{b, []string{"v1", "v2", "v3"}, []call{{"v1", a.Digest}, {"v2", b.Digest}, {"v3", b.Digest}}},
			{a, nil, []call{{"", a.Digest}}},
		} {
			var got []call
			err := t.store.PutManifest(t.ctx, "app", step.m, step.tags, func(tag string, current digest.Digest) error {
				got = append(got, call{tag, current})
				return nil
			})
			if err != nil {
				t.Fatalf("PutManifest: %v", err)
			}
			slices.SortFunc(got, func(a, b call) int { return strings.Compare(a.tag, b.tag) })
			if !slices.Equal(got, step.want) {
				t.Errorf("PutManifest with tags %q calls check with\n%v, want\n%v", step.tags, got, step.want)
			}
		}
	}},
	{"error of the check is returned and nothing is changed", func(t *storeTest) {
		no := errors.New("no")
		refuse := func(tag string, _ digest.Digest) error {
			if tag == "free" {
				return nil
			}
			return no
		}
		subject := t.image("app", imageSpec{}).Digest
		a, b := t.image("app", imageSpec{subject: subject, noMediaType: true}), t.image("app", imageSpec{subject: subject})
		t.put("app", a, "taken")
		t.copyBlobs("app", "blobs/only", b)
		docker := a
		docker.MediaType = manifest.DockerManifest
		for _, try := range []struct {
			repo string
			m    registry.Manifest
			tags []string
		}{
			{"app", b, []string{"free", "taken"}}, {"app", b, []string{"taken", "free"}}, {"app", b, nil},
			{"app", docker, []string{"free", "taken"}}, {"app", docker, nil},
			{"blobs/only", b, []string{"taken"}}, {"new", b, []string{"taken"}}, {"new", b, nil},
		} {
			if err := t.store.PutManifest(t.ctx, try.repo, try.m, try.tags, refuse); err != no {
				t.Errorf("PutManifest in %s with tags %q and a check that refuses: %v, want %v", try.repo, try.tags, err, no)
			}
		}
		t.wantManifest("app", a, "taken")
		t.wantNoManifest("app", string(b.Digest))
		t.wantNoManifest("app", "free")
		t.wantTags("app", "taken")
		t.wantReferrers("app", subject, a)
		t.wantTags("blobs/only")
		t.wantReferrers("blobs/only", subject)
		t.wantRepositories("", "app", "blobs/only")
	}},
}

var listRules = []storeRule{
	{"tags are listed in byte order", func(t *storeTest) {
		tags := []string{"b", "a", "B", "A", "_", "0", "10", "9", "a.b", "a-b", "a_b", "a0", "aB", "ab", "v1.10", "v1.9",
			"index.json", "sha256-" + strings.Repeat("0", 64) + ".sig", strings.Repeat("z", 128)}
		for part := range slices.Chunk(tags, 7) {
			t.put("app", t.image("app", imageSpec{}), part...)
		}
		slices.Sort(tags)
		t.wantTags("app", tags...)
		t.wantList("Tags", tags, func(after string) iter.Seq2[string, error] { return t.store.Tags(t.ctx, "app", after) })
	}},
	{"many tags are listed", func(t *storeTest) {
		var tags []string
		for i := range 600 {
			tags = append(tags, fmt.Sprintf("v%04d", i))
		}
		shuffled := slices.Clone(tags)
		rand.New(rand.NewPCG(1, 1)).Shuffle(len(tags), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for part := range slices.Chunk(shuffled, 200) {
			t.put("app", t.image("app", imageSpec{}), part...)
		}
		t.wantList("Tags", tags, func(after string) iter.Seq2[string, error] { return t.store.Tags(t.ctx, "app", after) })
	}},
	{"tags of a repository that is not there do not exist", func(t *storeTest) {
		t.put("app/sub", t.image("app/sub", imageSpec{}), "v1")
		for _, repo := range []string{"none", "app", "app/sub/none", "app/su"} {
			t.wantNoRepository(repo)
		}
	}},
	{"repository without tags has none", func(t *storeTest) {
		t.push("blobs/only", t.bytes(10))
		t.wantTags("blobs/only")
		t.put("untagged", t.image("untagged", imageSpec{}))
		t.wantTags("untagged")
	}},
	{"repositories are listed in byte order", func(t *storeTest) {
		repos := []string{"b", "a", "a/b", "a-b", "a.b", "a__b", "a0", "ab", "a/b/c", "a/b-c", "z/y/x", "0", "tags/list", "manifests"}
		for i, repo := range repos {
			if i%2 == 0 {
				t.push(repo, t.bytes(10))
			} else {
				t.put(repo, t.image(repo, imageSpec{}))
			}
		}
		slices.Sort(repos)
		t.wantList("Repositories", repos, func(after string) iter.Seq2[string, error] { return t.store.Repositories(t.ctx, after) })
	}},
	{"repository is there with its first blob or manifest", func(t *storeTest) {
		t.wantNoRepository("pushed")
		d := t.push("pushed", t.bytes(10))
		t.wantRepositories("", "pushed")
		if err := t.store.MountBlob(t.ctx, "mounted", d, "pushed"); err != nil {
			t.Fatalf("MountBlob: %v", err)
		}
		t.wantRepositories("", "mounted", "pushed")
		t.put("index", t.index("index"))
		t.wantRepositories("", "index", "mounted", "pushed")
		t.put("tagged", t.index("tagged"), "v1")
		t.wantRepositories("", "index", "mounted", "pushed", "tagged")
		for _, repo := range []string{"index", "mounted", "pushed"} {
			t.wantTags(repo)
		}
	}},
	{"empty store has no repositories", func(t *storeTest) {
		t.wantRepositories("")
		t.wantRepositories("a")
	}},
	{"referrers are listed in order of their digests", func(t *storeTest) {
		subject, other := t.image("app", imageSpec{}), t.image("app", imageSpec{})
		t.put("app", subject)
		referrers := t.referrers("app", subject.Digest, 20)
		t.referrers("app", other.Digest, 3)
		t.put("app", t.image("app", imageSpec{}))
		t.wantReferrers("app", subject.Digest, referrers...)
	}},
	{"many referrers are listed", func(t *storeTest) {
		subject := t.image("app", imageSpec{})
		t.wantReferrers("app", subject.Digest, t.referrers("app", subject.Digest, 260)...)
	}},
	{"referrer is listed with its artifact type and annotations", func(t *storeTest) {
		subject := t.image("app", imageSpec{}).Digest
		annotations := map[string]string{"org.opencontainers.image.created": "2020-01-01T00:00:00Z", "a": "", "é": "\u2028\"<&>"}
		var referrers []registry.Manifest
		for _, spec := range []imageSpec{
			{}, {artifactType: "application/vnd.example.sbom"}, {annotations: annotations},
			{artifactType: "application/vnd.example.sbom", annotations: annotations, algorithm: digest.SHA512},
		} {
			spec.subject = subject
			m := t.image("app", spec)
			t.put("app", m)
			referrers = append(referrers, m)
		}
		index := t.parse(digest.SHA256, ocispec.MediaTypeImageIndex, t.json(ocispec.Index{
			Versioned:    specs.Versioned{SchemaVersion: 2},
			MediaType:    ocispec.MediaTypeImageIndex,
			ArtifactType: "application/vnd.example.index",
			Manifests:    []ocispec.Descriptor{},
			Subject:      &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 100},
			Annotations:  annotations,
		}))
		t.put("app", index, "tagged")
		t.wantReferrers("app", subject, append(referrers, index)...)
	}},
	{"referrers of what is not there are none", func(t *storeTest) {
		subject := t.image("app", imageSpec{}).Digest
		t.put("app", t.image("app", imageSpec{}))
		t.push("blobs/only", t.bytes(10))
		for _, repo := range []string{"app", "blobs/only", "none"} {
			t.wantReferrers(repo, subject)
		}
	}},
	{"referrers are those of the repository", func(t *storeTest) {
		subject := t.image("app", imageSpec{}).Digest
		m := t.image("app", imageSpec{subject: subject})
		t.put("app", m)
		t.put("other", t.image("other", imageSpec{}))
		t.wantReferrers("other", subject)
		t.copyBlobs("app", "other", m)
		t.put("other", m)
		t.wantReferrers("app", subject, m)
		t.wantReferrers("other", subject, m)
		t.deleteManifest("app", m.Digest)
		t.wantReferrers("app", subject)
		t.wantReferrers("other", subject, m)
	}},
	{"deleted manifest is no referrer", func(t *storeTest) {
		subject := t.image("app", imageSpec{})
		t.put("app", subject, "v1")
		referrers := t.referrers("app", subject.Digest, 3)
		t.put("app", referrers[1])
		t.put("app", referrers[1], "signature")
		t.wantReferrers("app", subject.Digest, referrers...)
		t.deleteManifest("app", referrers[1].Digest)
		t.wantReferrers("app", subject.Digest, referrers[0], referrers[2])
		t.put("app", referrers[1])
		t.wantReferrers("app", subject.Digest, referrers...)
	}},
	{"referrers outlive their subject", func(t *storeTest) {
		subject := t.image("app", imageSpec{})
		t.put("app", subject, "v1")
		referrers := t.referrers("app", subject.Digest, 2)
		t.deleteManifest("app", subject.Digest)
		t.wantReferrers("app", subject.Digest, referrers...)
		t.put("app", subject)
		t.wantReferrers("app", subject.Digest, referrers...)
	}},
	{"list may be left early", func(t *storeTest) {
		t.put("app", t.image("app", imageSpec{}), "v1", "v2", "v3")
		t.push("other", t.bytes(10))
		subject := t.image("app", imageSpec{}).Digest
		t.referrers("app", subject, 3)
		leave(t, "Repositories", t.store.Repositories(t.ctx, ""))
		leave(t, "Tags", t.store.Tags(t.ctx, "app", ""))
		leave(t, "Tags of a repository that is not there", t.store.Tags(t.ctx, "none", ""))
		leave(t, "Referrers", t.store.Referrers(t.ctx, "app", subject, ""))
		t.within("writing to the store afterwards", func(t *storeTest) { t.put("app", t.image("app", imageSpec{}), "v1") })
	}},
	{"store may be used while it is listed", func(t *storeTest) {
		m := t.image("app", imageSpec{})
		t.put("app", m, "v1", "v2", "v3")
		t.push("other", t.bytes(10))
		subject := t.image("app", imageSpec{}).Digest
		referrers := t.referrers("app", subject, 3)
		use := func(t *storeTest) {
			t.wantManifest("app", m, "v3")
			t.put("app", t.image("app", imageSpec{}), "v0")
			t.push("a", t.bytes(10))
			t.wantReferrers("app", subject, referrers...)
		}
		for name, list := range map[string]func(t *storeTest) int{
			"repositories": func(t *storeTest) int { return t.each(t.store.Repositories(t.ctx, ""), use) },
			"tags":         func(t *storeTest) int { return t.each(t.store.Tags(t.ctx, "app", ""), use) },
			"referrers": func(t *storeTest) (n int) {
				for _, err := range t.store.Referrers(t.ctx, "app", subject, "") {
					if err != nil {
						t.Errorf("Referrers: %v", err)
					}
					use(t)
					n++
				}
				return n
			},
		} {
			t.within("using the store while it lists its "+name, func(t *storeTest) {
				if n := list(t); n < 2 {
					t.Errorf("only %d %s listed", n, name)
				}
			})
		}
	}},
	{"what is listed may be deleted", func(t *storeTest) {
		var tags []string
		for i := range 300 {
			tags = append(tags, fmt.Sprintf("v%04d", i))
		}
		t.put("app", t.image("app", imageSpec{}), tags...)
		var listed []string
		t.within("deleting tags while they are listed", func(t *storeTest) {
			for tag, err := range t.store.Tags(t.ctx, "app", "") {
				if err != nil {
					t.Errorf("Tags: %v", err)
					return
				}
				listed = append(listed, tag)
				if err := t.store.DeleteTag(t.ctx, "app", tag); err != nil {
					t.Errorf("DeleteTag(%s): %v", tag, err)
				}
			}
		})
		if !slices.Equal(listed, tags) {
			t.Errorf("%d of %d tags are listed when each is deleted", len(listed), len(tags))
		}
		t.wantTags("app")
	}},
}

var concurrencyRules = []storeRule{
	{"no write comes between the check and the change", func(t *storeTest) {
		const rounds, writers = 5, 8
		for round := range rounds {
			tag := fmt.Sprintf("v%d", round)
			taken := errors.New("taken")
			var won atomic.Int32
			manifests := t.referrers("app", digest.FromString("no such manifest"), writers)
			t.concurrently(writers, func(t *storeTest, i int) {
				err := t.store.PutManifest(t.ctx, "app", manifests[i], []string{tag}, func(_ string, current digest.Digest) error {
					runtime.Gosched()
					if current != "" {
						return taken
					}
					return nil
				})
				if err == nil {
					won.Add(1)
				} else if err != taken {
					t.Errorf("PutManifest: %v", err)
				}
			})
			if won := won.Load(); won != 1 {
				t.Fatalf("%d of %d writers have found that there was no tag and put theirs", won, writers)
			}
		}
	}},
	{"same blob is pushed by many", func(t *storeTest) {
		content := t.bytes(200_000)
		d := digest.FromBytes(content)
		t.concurrently(16, func(t *storeTest, i int) {
			repo := fmt.Sprintf("app%d", i%3)
			w := t.create(repo, int64(len(content)))
			for p := range slices.Chunk(content, 64<<10) {
				t.write(w, p)
			}
			t.commit(w, d)
			t.wantBlob(repo, d, content)
		})
		for i := range 3 {
			t.wantBlob(fmt.Sprintf("app%d", i), d, content)
		}
	}},
	{"readers see a tag move at once", func(t *storeTest) {
		a, b := t.image("app", imageSpec{}), t.image("app", imageSpec{})
		t.put("app", a, "v1")
		var done atomic.Bool
		t.concurrently(4, func(t *storeTest, i int) {
			if i == 0 {
				defer done.Store(true)
				for range 25 {
					t.put("app", b, "v1")
					t.put("app", a, "v1")
				}
				return
			}
			for !done.Load() {
				m, err := t.store.GetManifest(t.ctx, "app", "v1")
				if err != nil {
					t.Errorf("GetManifest while the tag moves: %v", err)
					return
				}
				if got := digest.FromBytes(m.Content); got != m.Digest || got != a.Digest && got != b.Digest {
					t.Errorf("GetManifest while the tag moves gives %s with content of %s", m.Digest, got)
				}
				t.wantTags("app", "v1")
			}
		})
	}},
	{"many things are done at once", func(t *storeTest) {
		shared := t.bytes(50_000)
		subject := t.image("app", imageSpec{}).Digest
		const workers, rounds = 8, 4
		manifests := make([][]registry.Manifest, workers)
		t.concurrently(workers, func(t *storeTest, i int) {
			own := fmt.Sprintf("own/%d", i)
			for round := range rounds {
				d := t.push("app", shared)
				t.wantBlob("app", d, shared)
				if err := t.store.MountBlob(t.ctx, own, d, "app"); err != nil {
					t.Errorf("MountBlob: %v", err)
				}
				t.wantBlob(own, d, shared)
				t.delete(own, d)
				t.wantNoBlob(own, d)

				m := t.image("app", imageSpec{subject: subject})
				tag := fmt.Sprintf("v%d-%d", i, round)
				t.put("app", m, tag, "latest")
				t.wantManifest("app", m, tag)
				if round%2 == 0 {
					t.deleteManifest("app", m.Digest)
					t.wantNoManifest("app", tag)
					t.wantNoManifest("app", string(m.Digest))
				} else {
					manifests[i] = append(manifests[i], m)
				}
				last := ""
				for tag, err := range t.store.Tags(t.ctx, "app", "") {
					if err != nil || tag <= last {
						t.Errorf("Tags while they change: %q after %q, %v", tag, last, err)
					}
					last = tag
				}
			}
		})
		all := slices.Concat(manifests...)
		t.wantReferrers("app", subject, all...)
		for i, of := range manifests {
			for j, m := range of {
				t.wantManifest("app", m, fmt.Sprintf("v%d-%d", i, 2*j+1))
			}
		}
	}},
	{"nothing is left running", func(t *storeTest) {
		content := t.bytes(1000)
		d := t.push("app", content)
		subject := t.image("app", imageSpec{}).Digest
		t.put("app", t.image("app", imageSpec{subject: subject}), "v1", "v2")
		const rounds = 20
		left := t.leftRunning(rounds, func() {
			t.create("app", 1000).Close()
			w := t.create("app", 1000)
			t.write(w, content[:500])
			w.Close()
			w = t.create("app", 1000)
			t.write(w, content)
			t.commit(w, d)
			w.Close()
			t.open("app", d).Close()
			r := t.open("app", d)
			io.CopyN(io.Discard, r, 100)
			r.Close()
			leave(t, "Repositories", t.store.Repositories(t.ctx, ""))
			leave(t, "Tags", t.store.Tags(t.ctx, "app", ""))
			leave(t, "Referrers", t.store.Referrers(t.ctx, "app", subject, ""))
			t.put("app", t.index("app"), "v3")
		})
		// A store may well keep a few, such as those of a connection.
		if left >= rounds {
			t.Errorf("after the store was used %d times, %d goroutines are left", rounds, left)
		}
	}},
}
