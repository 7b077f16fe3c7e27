package content

import (
	"context"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

// State is the content of a store, for a test to set up and to inspect without
// a request. References are those of [Put]. A method that cannot do its work
// fails the test at once; the checks let the test continue. All methods may be
// called in a test's cleanup, too.
type State struct {
	Store registry.Store
}

// Push puts the content into the store, as [Put] does, and returns it.
func (s State) Push(t TB, ref string, c Content) Content {
	t.Helper()
	if err := Put(context.Background(), s.Store, ref, c); err != nil {
		t.Fatalf("%v", err)
	}
	return c
}

// PushBlob puts a blob into a repository, as [PutBlob] does, and returns it.
func (s State) PushBlob(t TB, repo string, b Blob) Blob {
	t.Helper()
	if err := PutBlob(context.Background(), s.Store, repo, b); err != nil {
		t.Fatalf("putting into %s: %v", repo, err)
	}
	return b
}

// Manifest returns the manifest that the reference names, as [Get] does.
func (s State) Manifest(t TB, ref string) Content {
	t.Helper()
	c, err := Get(context.Background(), s.Store, ref)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return c
}

// Blob returns the content of a blob, all of it in memory.
func (s State) Blob(t TB, repo string, d digest.Digest) []byte {
	t.Helper()
	content, err := ReadBlob(context.Background(), s.Store, repo, d)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return content
}

// Tags returns the tags of a repository in ascending order, or none if there is
// no such repository.
func (s State) Tags(t TB, repo string) []string {
	t.Helper()
	tags, err := Tags(context.Background(), s.Store, repo)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return tags
}

// Referrers returns the descriptors of the referrers of a manifest, as
// [Referrers] does.
func (s State) Referrers(t TB, ref string) []ocispec.Descriptor {
	t.Helper()
	all, err := Referrers(context.Background(), s.Store, ref)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return all
}

// CheckTag fails the test unless the tag points at the content, see [CheckTag].
func (s State) CheckTag(t TB, ref string, want Content) {
	t.Helper()
	if err := CheckTag(context.Background(), s.Store, ref, want); err != nil {
		t.Errorf("%v", err)
	}
}

// CheckRepository fails the test unless the repository has exactly this content,
// see [Differences].
func (s State) CheckRepository(t TB, repo string, tagged map[string]Content, untagged ...Content) {
	t.Helper()
	differences, err := Differences(context.Background(), s.Store, repo, tagged, untagged...)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if len(differences) > 0 {
		t.Errorf("repository %s is not what it should be:\n%s", repo, strings.Join(differences, "\n"))
	}
}
