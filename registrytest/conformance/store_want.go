package conformance

import (
	"bytes"
	"errors"
	"io/fs"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

func (t *storeTest) wantBlob(repo string, d digest.Digest, want []byte) {
	t.Helper()
	if size, err := t.store.StatBlob(t.ctx, repo, d); size != int64(len(want)) || err != nil {
		t.Errorf("StatBlob(%s, %s) = %d, %v; want %d", repo, d, size, err, len(want))
	}
	r, err := t.store.OpenBlob(t.ctx, repo, d)
	if err != nil {
		t.Fatalf("OpenBlob(%s, %s): %v", repo, d, err)
	}
	var got bytes.Buffer
	got.Grow(len(want) + bytes.MinRead)
	if _, err := got.ReadFrom(r); err != nil || got.Len() != len(want) {
		t.Errorf("reading blob %s of %s: got %d bytes and error %v, want %d bytes", d, repo, got.Len(), err, len(want))
	} else if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("reading blob %s of %s: the bytes differ from those written", d, repo)
	}
	if err := r.Close(); err != nil {
		t.Errorf("closing blob %s of %s: %v", d, repo, err)
	}
}

func (t *storeTest) wantNoBlob(repo string, d digest.Digest) {
	t.Helper()
	_, err := t.store.StatBlob(t.ctx, repo, d)
	t.wantNotExist("StatBlob in "+repo, err)
	r, err := t.store.OpenBlob(t.ctx, repo, d)
	if err == nil {
		r.Close()
	}
	t.wantNotExist("OpenBlob in "+repo, err)
}

func (t *storeTest) wantNotExist(call string, err error) {
	t.Helper()
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: error is %v, want one that wraps fs.ErrNotExist", call, err)
	}
}

// wantManifest fails the test unless the tags and the digest name the manifest.
func (t *storeTest) wantManifest(repo string, want registry.Manifest, tags ...string) {
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

func (t *storeTest) wantNoManifest(repo, ref string) {
	t.Helper()
	_, err := t.store.GetManifest(t.ctx, repo, ref)
	t.wantNotExist("GetManifest of "+ref+" in "+repo, err)
	_, err = t.store.StatManifest(t.ctx, repo, ref)
	t.wantNotExist("StatManifest of "+ref+" in "+repo, err)
}

func (t *storeTest) wantTags(repo string, want ...string) {
	t.Helper()
	if got := t.names("Tags of "+repo, t.store.Tags(t.ctx, repo, "")); !slices.Equal(got, want) {
		t.Errorf("Tags(%s) yields\n%q, want\n%q", repo, got, want)
	}
}

func (t *storeTest) wantRepositories(after string, want ...string) {
	t.Helper()
	if got := t.names("Repositories", t.store.Repositories(t.ctx, after)); !slices.Equal(got, want) {
		t.Errorf("Repositories after %q yields\n%q, want\n%q", after, got, want)
	}
}

func (t *storeTest) wantNoRepository(repo string) {
	t.Helper()
	for _, after := range []string{"", "v1"} {
		n := 0
		for tag, err := range t.store.Tags(t.ctx, repo, after) {
			if n++; n > 1 {
				t.Errorf("Tags(%s) calls yield again after an error", repo)
				return
			}
			if tag != "" {
				t.Errorf("Tags(%s) yields tag %q", repo, tag)
			}
			t.wantNotExist("Tags of "+repo, err)
		}
		if n == 0 {
			t.Errorf("Tags(%s) yields no error, want one that wraps fs.ErrNotExist", repo)
		}
	}
}

// names returns the names that a list yields. If it yields an error, names fails the
// test.
func (t *storeTest) names(call string, list iter.Seq2[string, error]) (all []string) {
	t.Helper()
	for name, err := range list {
		if err != nil {
			t.Errorf("%s: %v", call, err)
			return all
		}
		all = append(all, name)
	}
	return all
}

// wantList fails the test unless the list has exactly the items in want. It checks
// the whole list, and lists that start after some items.
func (t *storeTest) wantList(method string, want []string, list func(after string) iter.Seq2[string, error]) {
	t.Helper()
	check := func(after string, want []string) {
		t.Helper()
		if got := t.names(method, list(after)); !slices.Equal(got, want) {
			t.Errorf("%s after %q yields\n%q, want\n%q", method, after, got, want)
		}
	}
	check("", want)
	every := max(1, len(want)/20)
	for i := 0; i < len(want); i += every {
		check(want[i], want[i+1:])
		// The list does not have this name, which sorts directly after the item.
		if between := want[i] + "!"; i+1 == len(want) || between < want[i+1] {
			check(between, want[i+1:])
		}
	}
	check("zzz"+want[len(want)-1], nil)
}

// wantReferrers fails the test unless the referrers of the subject are exactly the
// manifests in want, which may be in any order. It checks the whole list, and lists
// that start after some digests.
func (t *storeTest) wantReferrers(repo string, subject digest.Digest, want ...registry.Manifest) {
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
				t.Errorf("Referrers(%s, %s, %q) yields more than %d descriptors: %s", repo, subject, after, len(want), got.Digest)
				return
			}
			expected := want[i].Descriptor()
			if maps.Equal(got.Annotations, expected.Annotations) {
				expected.Annotations = got.Annotations
			}
			if !reflect.DeepEqual(got, expected) {
				t.Errorf("Referrers(%s, %s, %q) yields at index %d\n%+v, want\n%+v", repo, subject, after, i, got, expected)
				return
			}
			i++
		}
		if i != len(want) {
			t.Errorf("Referrers(%s, %s, %q) yields %d descriptors, want %d", repo, subject, after, i, len(want))
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
