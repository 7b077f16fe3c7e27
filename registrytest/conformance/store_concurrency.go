package conformance

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

var concurrencyRules = []rule{
	{"check and write are one step", func(t *storeTest) {
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
				t.Fatalf("%d of %d concurrent writers put the tag, although each checked that it does not exist", won, writers)
			}
		}
	}},
	{"same blob is pushed concurrently", func(t *storeTest) {
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
		// The writer runs until each reader has read often enough. The readers
		// run until the writer has stopped.
		const readers, enough = 3, 20
		var reading, moved atomic.Int32
		var done atomic.Bool
		reading.Store(readers)
		t.concurrently(1+readers, func(t *storeTest, i int) {
			if i == 0 {
				defer done.Store(true)
				for reading.Load() > 0 {
					t.put("app", b, "v1")
					t.put("app", a, "v1")
					moved.Add(2)
					runtime.Gosched() // On js/wasm, other goroutines run only if this one yields.
				}
				return
			}
			defer reading.Add(-1)
			for n := 0; !done.Load() && (n < enough || moved.Load() < enough); n++ {
				m, err := t.store.GetManifest(t.ctx, "app", "v1")
				if err != nil {
					t.Errorf("GetManifest while the tag moves: %v", err)
					return
				}
				if got := digest.FromBytes(m.Content); got != m.Digest || got != a.Digest && got != b.Digest {
					t.Errorf("GetManifest while the tag moves returns digest %s and content of %s", m.Digest, got)
				}
				t.wantTags("app", "v1")
				runtime.Gosched()
			}
		})
	}},
	{"concurrent writers and readers agree", func(t *storeTest) {
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
				if !t.sharesBlobs() {
					t.delete(own, d)
					t.wantNoBlob(own, d)
				}

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
						t.Errorf("Tags while tags change: %q after %q, %v", tag, last, err)
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
	{"no goroutine is left running", func(t *storeTest) {
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
		// A store may keep a few goroutines, such as those of a connection.
		if left >= rounds {
			t.Errorf("after %d uses of the store, %d of its goroutines are running", rounds, left)
		}
	}},
}
