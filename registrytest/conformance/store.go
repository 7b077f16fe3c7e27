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
	"maps"
	"math/rand/v2"
	"reflect"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
)

// Store tests that a [registry.Store] does what the documentation of that
// interface says, in a subtest for each rule. Open is called at the start of
// each subtest and returns an empty store that can be written to; it may use
// t.Cleanup to close it.
//
// The blobs and manifests that are put are real ones: their digests are those
// of their content, manifests are valid, and the blobs that they are made of
// are in the repository before them.
//
//	func TestStore(t *testing.T) {
//		conformance.Store(t, func(t *testing.T) registry.Store {
//			return mystore.New(t.TempDir())
//		})
//	}
func Store(t *testing.T, open func(t *testing.T) registry.Store) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			r.check(&tester{TB: t, ctx: t.Context(), store: open(t), patience: 30 * time.Second, seed: new(atomic.Uint64)})
		})
	}
}

// A rule is something that is said of a store and can be checked.
type rule struct {
	name  string
	check func(t *tester)
}

var rules = slices.Concat(blobRules, mountRules, manifestRules, listRules, concurrencyRules)

// A tester is the test of one rule.
type tester struct {
	testing.TB
	ctx      context.Context
	store    registry.Store
	patience time.Duration // with what takes no time unless it is stuck
	seed     *atomic.Uint64
}

// aside is the testing.TB of a goroutine other than the test's own: where the
// test would have to end, the goroutine does.
type aside struct{ testing.TB }

func (t aside) Fatal(args ...any) {
	t.Helper()
	t.Error(args...)
	runtime.Goexit()
}

func (t aside) Fatalf(format string, args ...any) {
	t.Helper()
	t.Errorf(format, args...)
	runtime.Goexit()
}

// bytes returns n bytes that no other call for this test returns.
func (t *tester) bytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(t.seed.Add(1)), byte(t.seed.Load() >> 8)}).Read(b)
	return b
}

func (t *tester) create(repo string, size int64) registry.BlobWriter {
	t.Helper()
	w, err := t.store.CreateBlob(t.ctx, repo, size)
	if err != nil {
		t.Fatalf("CreateBlob(%s, %d): %v", repo, size, err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func (t *tester) write(w io.Writer, p []byte) {
	t.Helper()
	if n, err := w.Write(p); n != len(p) || err != nil {
		t.Fatalf("Write(%d bytes) = %d, %v", len(p), n, err)
	}
}

func (t *tester) commit(w registry.BlobWriter, d digest.Digest) {
	t.Helper()
	if err := w.Commit(t.ctx, d); err != nil {
		t.Fatalf("Commit(%s): %v", d, err)
	}
}

// push puts a blob.
func (t *tester) push(repo string, content []byte) digest.Digest {
	t.Helper()
	d := digest.FromBytes(content)
	w := t.create(repo, int64(len(content)))
	t.write(w, content)
	t.commit(w, d)
	return d
}

func (t *tester) open(repo string, d digest.Digest) io.ReadSeekCloser {
	t.Helper()
	r, err := t.store.OpenBlob(t.ctx, repo, d)
	if err != nil {
		t.Fatalf("OpenBlob(%s, %s): %v", repo, d, err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func (t *tester) delete(repo string, d digest.Digest) {
	t.Helper()
	if err := t.store.DeleteBlob(t.ctx, repo, d); err != nil {
		t.Fatalf("DeleteBlob(%s, %s): %v", repo, d, err)
	}
}

func (t *tester) wantBlob(repo string, d digest.Digest, want []byte) {
	t.Helper()
	if size, err := t.store.StatBlob(t.ctx, repo, d); size != int64(len(want)) || err != nil {
		t.Errorf("StatBlob(%s, %s) = %d, %v; want %d", repo, d, size, err, len(want))
	}
	r, err := t.store.OpenBlob(t.ctx, repo, d)
	if err != nil {
		t.Fatalf("OpenBlob(%s, %s): %v", repo, d, err)
	}
	got, err := io.ReadAll(r)
	if err != nil || len(got) != len(want) {
		t.Errorf("reading blob %s of %s gives %d bytes of %d, %v", d, repo, len(got), len(want), err)
	} else if !bytes.Equal(got, want) {
		t.Errorf("reading blob %s of %s gives other bytes than were written", d, repo)
	}
	if err := r.Close(); err != nil {
		t.Errorf("closing blob %s of %s: %v", d, repo, err)
	}
}

func (t *tester) wantNoBlob(repo string, d digest.Digest) {
	t.Helper()
	_, err := t.store.StatBlob(t.ctx, repo, d)
	t.wantNotExist("StatBlob in "+repo, err)
	r, err := t.store.OpenBlob(t.ctx, repo, d)
	if err == nil {
		r.Close()
	}
	t.wantNotExist("OpenBlob in "+repo, err)
}

func (t *tester) wantNotExist(what string, err error) {
	t.Helper()
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: error is %v, want one that wraps fs.ErrNotExist", what, err)
	}
}

// An imageSpec says what is particular about an image manifest.
type imageSpec struct {
	algorithm    digest.Algorithm // SHA256 if empty
	noMediaType  bool
	artifactType string
	annotations  map[string]string
	subject      digest.Digest
}

// image pushes the blobs of an image and returns its manifest.
func (t *tester) image(repo string, spec imageSpec) registry.Manifest {
	t.Helper()
	config := t.json(map[string]any{"architecture": "amd64", "os": "linux", "author": t.bytes(8)})
	layer := t.bytes(64)
	m := ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: spec.artifactType,
		Config:       ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: t.push(repo, config), Size: int64(len(config))},
		Layers:       []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: t.push(repo, layer), Size: int64(len(layer))}},
		Annotations:  spec.annotations,
	}
	if spec.noMediaType {
		m.MediaType = ""
	}
	if spec.subject != "" {
		m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: spec.subject, Size: 100}
	}
	algorithm := spec.algorithm
	if algorithm == "" {
		algorithm = digest.SHA256
	}
	return t.parse(algorithm, ocispec.MediaTypeImageManifest, t.json(m))
}

// index returns an index of the manifests, once it has put them.
func (t *tester) index(repo string, manifests ...registry.Manifest) registry.Manifest {
	t.Helper()
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{},
	}
	for _, m := range manifests {
		t.put(repo, m)
		index.Manifests = append(index.Manifests, ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Content))})
	}
	return t.parse(digest.SHA256, ocispec.MediaTypeImageIndex, t.json(index))
}

// referrers puts n manifests with the subject and returns them.
func (t *tester) referrers(repo string, subject digest.Digest, n int) []registry.Manifest {
	t.Helper()
	base := t.image(repo, imageSpec{subject: subject})
	manifests := make([]registry.Manifest, n)
	for i := range manifests {
		doc := map[string]any{}
		if err := json.Unmarshal(base.Content, &doc); err != nil {
			t.Fatal(err)
		}
		doc["annotations"] = map[string]string{"number": fmt.Sprint(i)}
		manifests[i] = t.parse(digest.SHA256, base.MediaType, t.json(doc))
		t.put(repo, manifests[i])
	}
	return manifests
}

func (t *tester) json(v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// parse reads a manifest as the handler does.
func (t *tester) parse(algorithm digest.Algorithm, mediaType string, content []byte) registry.Manifest {
	t.Helper()
	m := registry.Manifest{MediaType: mediaType, Digest: algorithm.FromBytes(content), Content: content}
	doc := t.document(m)
	m.Subject, m.ArtifactType, m.Annotations = doc.SubjectDigest(), doc.ReferrerType(), doc.Annotations
	return m
}

func (t *tester) document(m registry.Manifest) *manifest.Document {
	t.Helper()
	doc, err := manifest.Parse(m.Content)
	if err == nil {
		err = doc.Check(m.MediaType)
	}
	if err != nil {
		t.Fatalf("manifest of the test: %v", err)
	}
	return &doc
}

// copyBlobs mounts the blobs of a manifest.
func (t *tester) copyBlobs(from, to string, m registry.Manifest) {
	t.Helper()
	for d := range t.document(m).RequiredBlobs {
		if err := t.store.MountBlob(t.ctx, to, d, from); err != nil {
			t.Fatalf("MountBlob(%s, %s, %s): %v", to, d, from, err)
		}
	}
}

// put puts a manifest. The store gets a copy of the tags, as that is not said
// to be its own.
func (t *tester) put(repo string, m registry.Manifest, tags ...string) {
	t.Helper()
	passed := slices.Clone(tags)
	if err := t.store.PutManifest(t.ctx, repo, m, passed, nil); err != nil {
		t.Fatalf("PutManifest(%s, %s, %q): %v", repo, m.Digest, tags, err)
	}
	clear(passed)
}

func (t *tester) deleteManifest(repo string, d digest.Digest) {
	t.Helper()
	if err := t.store.DeleteManifest(t.ctx, repo, d); err != nil {
		t.Fatalf("DeleteManifest(%s, %s): %v", repo, d, err)
	}
}

// wantManifest checks that the digest of the manifest and the tags name it.
func (t *tester) wantManifest(repo string, want registry.Manifest, tags ...string) {
	t.Helper()
	for _, ref := range append(tags, string(want.Digest)) {
		got, err := t.store.GetManifest(t.ctx, repo, ref)
		if err != nil {
			t.Errorf("GetManifest(%s, %s): %v", repo, ref, err)
		} else if got.MediaType != want.MediaType || got.Digest != want.Digest || !bytes.Equal(got.Content, want.Content) {
			t.Errorf("GetManifest(%s, %s) =\n%s %s %s, want\n%s %s %s", repo, ref,
				got.MediaType, got.Digest, got.Content, want.MediaType, want.Digest, want.Content)
		}
		desc, err := t.store.StatManifest(t.ctx, repo, ref)
		if err != nil {
			t.Errorf("StatManifest(%s, %s): %v", repo, ref, err)
		} else if desc.MediaType != want.MediaType || desc.Digest != want.Digest || desc.Size != int64(len(want.Content)) {
			t.Errorf("StatManifest(%s, %s) = %s %s %d, want %s %s %d", repo, ref,
				desc.MediaType, desc.Digest, desc.Size, want.MediaType, want.Digest, len(want.Content))
		}
	}
}

func (t *tester) wantNoManifest(repo, ref string) {
	t.Helper()
	_, err := t.store.GetManifest(t.ctx, repo, ref)
	t.wantNotExist("GetManifest of "+ref+" in "+repo, err)
	_, err = t.store.StatManifest(t.ctx, repo, ref)
	t.wantNotExist("StatManifest of "+ref+" in "+repo, err)
}

func (t *tester) wantTags(repo string, want ...string) {
	t.Helper()
	if got := t.names("Tags of "+repo, t.store.Tags(t.ctx, repo, "")); !slices.Equal(got, want) {
		t.Errorf("Tags(%s) yields\n%q, want\n%q", repo, got, want)
	}
}

func (t *tester) wantRepositories(after string, want ...string) {
	t.Helper()
	if got := t.names("Repositories", t.store.Repositories(t.ctx, after)); !slices.Equal(got, want) {
		t.Errorf("Repositories after %q yields\n%q, want\n%q", after, got, want)
	}
}

func (t *tester) wantNoRepository(repo string) {
	t.Helper()
	for _, after := range []string{"", "v1"} {
		n := 0
		for tag, err := range t.store.Tags(t.ctx, repo, after) {
			if n++; n > 1 {
				t.Errorf("Tags(%s) goes on after an error", repo)
				return
			}
			if tag != "" {
				t.Errorf("Tags(%s) yields tag %q", repo, tag)
			}
			t.wantNotExist("Tags of "+repo, err)
		}
		if n == 0 {
			t.Errorf("Tags(%s) yields nothing, want an error that wraps fs.ErrNotExist", repo)
		}
	}
}

// names returns what a list yields.
func (t *tester) names(what string, list iter.Seq2[string, error]) (all []string) {
	t.Helper()
	for name, err := range list {
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return all
		}
		all = append(all, name)
	}
	return all
}

// wantList checks a list from every point on that it may be asked for.
func (t *tester) wantList(what string, want []string, list func(after string) iter.Seq2[string, error]) {
	t.Helper()
	check := func(after string, want []string) {
		t.Helper()
		if got := t.names(what, list(after)); !slices.Equal(got, want) {
			t.Errorf("%s after %q yields\n%q, want\n%q", what, after, got, want)
		}
	}
	check("", want)
	every := max(1, len(want)/20)
	for i := 0; i < len(want); i += every {
		check(want[i], want[i+1:])
		// A name between this one and the next that is not there itself.
		if between := want[i] + "!"; i+1 == len(want) || between < want[i+1] {
			check(between, want[i+1:])
		}
	}
	check("zzz"+want[len(want)-1], nil)
}

// wantReferrers checks that the manifests, in any order, are the referrers.
func (t *tester) wantReferrers(repo string, subject digest.Digest, want ...registry.Manifest) {
	t.Helper()
	want = slices.SortedFunc(slices.Values(want), func(a, b registry.Manifest) int {
		return strings.Compare(string(a.Digest), string(b.Digest))
	})
	check := func(after digest.Digest, want []registry.Manifest) {
		t.Helper()
		i := 0
		for got, err := range t.store.Referrers(t.ctx, repo, subject, after) {
			if err != nil {
				t.Errorf("Referrers(%s, %s, %q): %v", repo, subject, after, err)
				return
			}
			if i == len(want) {
				t.Errorf("Referrers(%s, %s, %q) yields more than %d: %s", repo, subject, after, len(want), got.Digest)
				return
			}
			expected := want[i].Descriptor()
			if maps.Equal(got.Annotations, expected.Annotations) {
				expected.Annotations = got.Annotations
			}
			if !reflect.DeepEqual(got, expected) {
				t.Errorf("Referrers(%s, %s, %q) yields as number %d\n%+v, want\n%+v", repo, subject, after, i, got, expected)
				return
			}
			i++
		}
		if i != len(want) {
			t.Errorf("Referrers(%s, %s, %q) yields %d, want %d", repo, subject, after, i, len(want))
		}
	}
	check("", want)
	every := max(1, len(want)/10)
	for i := 0; i < len(want); i += every {
		d := want[i].Digest
		check(d, want[i+1:])
		check(d[:len(d)-1], want[i:])
	}
}

// each calls use for each name of the list and returns how many there are.
func (t *tester) each(list iter.Seq2[string, error], use func(t *tester)) (n int) {
	t.Helper()
	for _, err := range list {
		if err != nil {
			t.Errorf("while the store is used: %v", err)
			return n
		}
		use(t)
		n++
	}
	return n
}

// leave leaves a list at the first thing it yields.
func leave[T any](t *tester, what string, list iter.Seq2[T, error]) {
	t.Helper()
	yielded := 0
	list(func(T, error) bool {
		yielded++
		return false
	})
	if yielded != 1 {
		t.Errorf("%s yields %d times when it is told to stop at the first", what, yielded)
	}
}

// within fails if f takes longer than anything takes that is not stuck.
func (t *tester) within(what string, f func(t *tester)) {
	t.Helper()
	goroutine := *t
	goroutine.TB = aside{t.TB}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(&goroutine)
	}()
	timer := time.NewTimer(t.patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		t.Fatalf("%s has not come to an end after %v: is a lock held?", what, t.patience)
	}
}

// concurrently calls f(0) to f(n-1) at the same time.
func (t *tester) concurrently(n int, f func(t *tester, i int)) {
	t.Helper()
	t.within("doing many things at once", func(t *tester) {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { f(t, i) })
		}
		wg.Wait()
	})
}

// leftRunning calls f n times and returns how many of the goroutines that have
// been started in it do not come to an end, unless they are fewer than n.
func (t *tester) leftRunning(n int, f func()) (left int) {
	t.Helper()
	// Goroutines have the labels of those that start them.
	label := fmt.Sprintf("%p", t)
	pprof.Do(t.ctx, pprof.Labels("TestStore", label), func(context.Context) {
		for range n {
			f()
		}
	})
	for end := time.Now().Add(t.patience); ; time.Sleep(time.Millisecond) {
		var profile bytes.Buffer
		pprof.Lookup("goroutine").WriteTo(&profile, 1)
		left = 0
		_, groups, _ := strings.Cut(profile.String(), "\n")
		for group := range strings.SplitSeq(groups, "\n\n") {
			if strings.Contains(group, `"TestStore":"`+label+`"`) {
				count := 0
				fmt.Sscanf(group, "%d @", &count)
				left += count
			}
		}
		if left < n || time.Now().After(end) {
			return left
		}
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

type oneByteReader struct{ io.Reader }

func (r oneByteReader) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(1, len(p))]) }
