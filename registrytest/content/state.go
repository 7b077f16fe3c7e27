package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/hint"
)

// A TB is the part of a test that this package needs; every [testing.TB] is one.
// Fatalf must not return.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// State lets a test read and change the content of a store without a request.
// References have the form that [Put] takes. CheckTag and CheckRepository report
// differences with Errorf. If the store returns an error, CheckTag reports it with
// Errorf, and the other methods end the test with Fatalf. All methods may also be
// called in a test's cleanup.
type State struct {
	Store registry.Store
}

// Push puts the content into the store, as [Put] does, and returns it.
func (s State) Push(t TB, ref string, c Content) Content {
	hint.NilTest("content", "State.Push", t)
	t.Helper()
	if err := Put(context.Background(), s.Store, ref, c); err != nil {
		t.Fatalf("content: %v", err)
	}
	return c
}

// PushBlob puts a blob into a repository, as [PutBlob] does, and returns it.
func (s State) PushBlob(t TB, repo string, b Blob) Blob {
	hint.NilTest("content", "State.PushBlob", t)
	t.Helper()
	if err := PutBlob(context.Background(), s.Store, repo, b); err != nil {
		t.Fatalf("content: putting into %s: %v", repo, err)
	}
	return b
}

// Get returns the manifest that the reference names, as the function [Get] does.
func (s State) Get(t TB, ref string) Content {
	hint.NilTest("content", "State.Get", t)
	t.Helper()
	c, err := Get(context.Background(), s.Store, ref)
	if err != nil {
		t.Fatalf("content: %v", err)
	}
	return c
}

// GetBlob returns the whole content of a blob.
func (s State) GetBlob(t TB, repo string, d digest.Digest) []byte {
	hint.NilTest("content", "State.GetBlob", t)
	t.Helper()
	content, err := readBlob(context.Background(), s.Store, repo, d)
	if err != nil {
		t.Fatalf("content: reading blob %s of %s: %v", d, repo, err)
	}
	return content
}

func readBlob(ctx context.Context, s registry.Store, repo string, d digest.Digest) ([]byte, error) {
	r, err := s.OpenBlob(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// Tags returns the tags of a repository in ascending order. If the repository does not
// exist, it returns no tags.
func (s State) Tags(t TB, repo string) []string {
	hint.NilTest("content", "State.Tags", t)
	t.Helper()
	tags, err := listTags(context.Background(), s.Store, repo)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("content: listing the tags of %s: %v", repo, err)
	}
	return tags
}

// Referrers returns the descriptors of the manifests that have the manifest with this
// reference as their subject, in ascending order of their digests. The reference has a
// tag or a digest. If it has a digest, the subject need not be in the store.
func (s State) Referrers(t TB, ref string) []ocispec.Descriptor {
	hint.NilTest("content", "State.Referrers", t)
	t.Helper()
	all, err := referrers(context.Background(), s.Store, ref)
	if err != nil {
		t.Fatalf("content: listing the referrers of %s: %v", ref, err)
	}
	return all
}

func referrers(ctx context.Context, s registry.Store, ref string) (all []ocispec.Descriptor, err error) {
	r, err := parseReference(ref)
	if err != nil {
		return nil, err
	}
	if r.Digest == "" {
		m, err := getManifest(ctx, s, ref)
		if err != nil {
			return nil, err
		}
		r.Digest = m.Digest
	}
	for d, err := range s.Referrers(ctx, r.Repository, r.Digest, "") {
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// CheckTag fails the test unless the tag in the reference points at the manifest of
// the content, and the manifest has the same media type.
func (s State) CheckTag(t TB, ref string, want Content) {
	hint.NilTest("content", "State.CheckTag", t)
	t.Helper()
	got, err := getManifest(context.Background(), s.Store, ref)
	if err != nil {
		t.Errorf("content: %v", err)
	} else if problem := differ(got, &want); problem != "" {
		t.Errorf("content: %s %s", ref, problem)
	}
}

// CheckRepository fails the test unless the repository has exactly this content;
// see [Differences].
func (s State) CheckRepository(t TB, repo string, tagged map[string]Content, untagged ...Content) {
	hint.NilTest("content", "State.CheckRepository", t)
	t.Helper()
	differences, err := Differences(context.Background(), s.Store, repo, tagged, untagged...)
	if err != nil {
		t.Fatalf("content: %v", err)
	}
	if len(differences) > 0 {
		t.Errorf("content: repository %s differs from the content wanted:\n%s", repo, strings.Join(differences, "\n"))
	}
}

// Differences compares a repository with the content that it should have, and
// returns one or more lines for each difference. The repository should have the
// tagged content under its tags, no other tags, the untagged content, and all
// blobs and children of both. It should have no other manifests that [Copy] finds
// from the tags.
func Differences(ctx context.Context, s registry.Store, repo string, tagged map[string]Content, untagged ...Content) ([]string, error) {
	found, err := reach(ctx, s, repo)
	if errors.Is(err, fs.ErrNotExist) {
		found, err = &reached{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("checking repository %s: %w", repo, err)
	}
	var problems []string
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }

	gotTags := make(map[string]registry.Manifest)
	for _, m := range found.manifests {
		for _, tag := range found.tags[m.Digest] {
			gotTags[tag] = m
		}
	}
	wanted := make(map[digest.Digest]bool)
	for _, tag := range sortedKeys(tagged) {
		want := tagged[tag]
		if got, ok := gotTags[tag]; !ok {
			problem("missing tag %s: %s", tag, inBrief(want.MediaType, want.Digest, want.Size))
		} else if got.Digest != want.Digest {
			problem("tag %s %s", tag, differ(got, &want))
		}
		problems = append(problems, missing(ctx, s, repo, &want, wanted)...)
	}
	for _, want := range untagged {
		problems = append(problems, missing(ctx, s, repo, &want, wanted)...)
	}
	for _, tag := range sortedKeys(gotTags) {
		if _, ok := tagged[tag]; !ok {
			m := gotTags[tag]
			problem("unexpected tag %s: %s", tag, inBrief(m.MediaType, m.Digest, int64(len(m.Content))))
		}
	}
	for _, m := range found.manifests {
		if !wanted[m.Digest] {
			problem("unexpected manifest %s, %s", inBrief(m.MediaType, m.Digest, int64(len(m.Content))), found.from[m.Digest])
		}
	}
	return problems, nil
}

// sortedKeys returns the keys in ascending order. It calls sort.Strings, which is
// compiled only once, because slices.Sorted is compiled in every package that calls it.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// missing describes each manifest and blob of the content that the repository lacks, or
// that differs there. It skips digests that are in wanted, and adds the others to
// wanted.
func missing(ctx context.Context, s registry.Store, repo string, c *Content, wanted map[digest.Digest]bool) (problems []string) {
	for _, m := range c.manifests(make(map[digest.Digest]bool)) {
		if wanted[m.Digest] {
			continue
		}
		wanted[m.Digest] = true
		got, err := s.GetManifest(ctx, repo, string(m.Digest))
		if err != nil {
			problems = append(problems, fmt.Sprintf("missing manifest %s: %v", inBrief(m.MediaType, m.Digest, m.Size), err))
		} else if p := differ(got, m); p != "" {
			problems = append(problems, fmt.Sprintf("manifest %s %s", m.Digest, p))
		}
	}
	for _, b := range c.blobs() {
		if wanted[b.Digest] {
			continue
		}
		wanted[b.Digest] = true
		size, err := s.StatBlob(ctx, repo, b.Digest)
		if err != nil {
			problems = append(problems, fmt.Sprintf("missing blob %s: %v", inBrief(b.MediaType, b.Digest, b.Size), err))
		} else if size != b.Size {
			problems = append(problems, fmt.Sprintf("blob %s has %d bytes", inBrief(b.MediaType, b.Digest, b.Size), size))
		}
	}
	return problems
}

// differ describes how the manifest got differs from the manifest of want. It returns
// "" if the two are the same.
func differ(got registry.Manifest, want *Content) string {
	switch {
	case got.Digest != want.Digest || want.Manifest != nil && !bytes.Equal(got.Content, want.Manifest):
		return fmt.Sprintf("has a different manifest:\n  want %s\n  got  %s\n%s",
			inBrief(want.MediaType, want.Digest, want.Size),
			inBrief(got.MediaType, got.Digest, int64(len(got.Content))),
			manifestDiff(want.Manifest, got.Content))
	case got.MediaType != want.MediaType:
		return fmt.Sprintf("has media type %q, want %q", got.MediaType, want.MediaType)
	}
	return ""
}

func inBrief(mediaType string, d digest.Digest, size int64) string {
	return fmt.Sprintf("%s, %s, %d bytes", d, mediaType, size)
}

// manifestDiff returns the lines in which two manifests differ, or "" if one of
// them is nil. It cuts long lines and long manifests.
func manifestDiff(want, got []byte) string {
	if want == nil || got == nil {
		return ""
	}
	const maxLines, maxLine = 200, 160
	split := func(content []byte) (lines []string) {
		for line := range bytes.Lines(content) {
			if len(lines) == maxLines {
				return append(lines, "…")
			}
			line = bytes.TrimRight(line, "\n")
			if len(line) > maxLine {
				line = append(line[:maxLine:maxLine], "…"...)
			}
			lines = append(lines, strings.ToValidUTF8(string(line), "\ufffd"))
		}
		return lines
	}
	lines := split(got)
	return hint.Diff(split(want), lines, func(i int) string { return lines[i] })
}
