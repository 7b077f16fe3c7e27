package registrytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

// State is what a store holds, for a test to set up and to look at without a
// request. References are those of [Put]. A method that cannot do what it says
// fails the test at once; those that check let it go on. All may be called in
// a test's cleanup, too.
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

// Manifest returns the manifest that the reference names by tag or digest,
// with what it says of its config, layers and children. These have no content
// of their own; [State.Blob] and Manifest get it.
func (s State) Manifest(t TB, ref string) Content {
	t.Helper()
	m, err := s.get(ref)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return read(m.MediaType, m.Digest, m.Content)
}

func (s State) get(ref string) (registry.Manifest, error) {
	r, err := parseReference(ref)
	if err != nil {
		return registry.Manifest{}, fmt.Errorf("reading %s: %w", ref, err)
	}
	what := string(r.digest)
	if what == "" {
		what = r.tag
	}
	if what == "" {
		return registry.Manifest{}, fmt.Errorf("reading %s: there is no tag and no digest in the reference", ref)
	}
	m, err := s.Store.GetManifest(context.Background(), r.repo, what)
	if err != nil {
		return registry.Manifest{}, fmt.Errorf("reading %s: %w; %s", ref, err, s.summary(r.repo))
	}
	return m, nil
}

// summary says what there is where something was not.
func (s State) summary(repo string) string {
	tags, err := s.tags(repo)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("there is no repository %s", repo)
	case err != nil:
		return fmt.Sprintf("the tags of %s cannot be listed: %v", repo, err)
	case len(tags) == 0:
		return fmt.Sprintf("%s has no tags", repo)
	}
	return fmt.Sprintf("%s has the tags %s", repo, strings.Join(tags, ", "))
}

func (s State) tags(repo string) (tags []string, err error) {
	for tag, err := range s.Store.Tags(context.Background(), repo, "") {
		if err != nil {
			return nil, err
		}
		tags = append(tags, tag)
	}
	return tags, nil
}

// Blob returns the content of a blob, all of it in memory.
func (s State) Blob(t TB, repo string, d digest.Digest) []byte {
	t.Helper()
	r, err := s.Store.OpenBlob(context.Background(), repo, d)
	if err != nil {
		t.Fatalf("reading blob %s of %s: %v", d, repo, err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("reading blob %s of %s: %v", d, repo, err)
	}
	return content
}

// Tags returns the tags of a repository in ascending order; none if there is
// no such repository.
func (s State) Tags(t TB, repo string) []string {
	t.Helper()
	tags, err := s.tags(repo)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("listing the tags of %s: %v", repo, err)
	}
	return tags
}

// Referrers returns the descriptors of the manifests whose subject is the one
// that the reference names by tag or digest, in ascending order of their
// digests. A subject that is named by its digest need not be there.
func (s State) Referrers(t TB, ref string) []ocispec.Descriptor {
	t.Helper()
	r, err := parseReference(ref)
	if err != nil {
		t.Fatalf("listing the referrers of %s: %v", ref, err)
	}
	if r.digest == "" {
		r.digest = s.Manifest(t, ref).Digest
	}
	var all []ocispec.Descriptor
	for d, err := range s.Store.Referrers(context.Background(), r.repo, r.digest, "") {
		if err != nil {
			t.Fatalf("listing the referrers of %s: %v", ref, err)
		}
		all = append(all, d)
	}
	return all
}

// CheckTag checks that what the reference names by tag is the manifest of the
// content, of the same media type.
func (s State) CheckTag(t TB, ref string, want Content) {
	t.Helper()
	got, err := s.get(ref)
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	if problem := differ(got, want); problem != "" {
		t.Errorf("%s %s", ref, problem)
	}
}

// differ says how the manifest differs from the wanted one, or "".
func differ(got registry.Manifest, want Content) string {
	switch {
	case got.Digest != want.Digest || want.Manifest != nil && !bytes.Equal(got.Content, want.Manifest):
		return fmt.Sprintf("is not what it should be:\n  want %s\n  got  %s\n%s",
			inBrief(want.MediaType, want.Digest, want.Size),
			inBrief(got.MediaType, got.Digest, int64(len(got.Content))),
			manifestDiff(want.Manifest, got.Content))
	case got.MediaType != want.MediaType:
		return fmt.Sprintf("has media type %q, should have %q", got.MediaType, want.MediaType)
	}
	return ""
}

func inBrief(mediaType string, d digest.Digest, size int64) string {
	return fmt.Sprintf("%s, %s, %d bytes", d, mediaType, size)
}

// manifestDiff returns the lines in which two manifests differ, or "" if one of
// them is not known. What is not like a manifest is cut short.
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
	return diffLines(split(want), lines, func(i int) string { return lines[i] })
}

// CheckRepository checks that a repository has the given content under the
// given tags and no others, the untagged content by its digest, all blobs and
// children of both, and nothing else. Of what should not be there, it sees
// what [Copy] would copy.
func (s State) CheckRepository(t TB, repo string, tagged map[string]Content, untagged ...Content) {
	t.Helper()
	found, err := reach(context.Background(), s.Store, repo)
	if errors.Is(err, fs.ErrNotExist) {
		found, err = &reached{}, nil
	}
	if err != nil {
		t.Fatalf("checking repository %s: %v", repo, err)
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
	for _, tag := range slices.Sorted(maps.Keys(tagged)) {
		want := tagged[tag]
		if got, ok := gotTags[tag]; !ok {
			problem("missing tag %s: %s", tag, inBrief(want.MediaType, want.Digest, want.Size))
		} else if got.Digest != want.Digest {
			problem("tag %s %s", tag, differ(got, want))
		}
		problems = append(problems, s.missing(repo, want, wanted)...)
	}
	for _, want := range untagged {
		problems = append(problems, s.missing(repo, want, wanted)...)
	}
	for _, tag := range slices.Sorted(maps.Keys(gotTags)) {
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
	if len(problems) > 0 {
		t.Errorf("repository %s is not what it should be:\n%s", repo, strings.Join(problems, "\n"))
	}
}

// missing says what of the content is not in the repository as it should be,
// and adds the digests of it all to wanted. It does not look again for what
// is wanted already.
func (s State) missing(repo string, c Content, wanted map[digest.Digest]bool) (problems []string) {
	ctx := context.Background()
	for m := range c.Manifests() {
		if wanted[m.Digest] {
			continue
		}
		wanted[m.Digest] = true
		got, err := s.Store.GetManifest(ctx, repo, string(m.Digest))
		if err != nil {
			problems = append(problems, fmt.Sprintf("missing manifest %s: %v", inBrief(m.MediaType, m.Digest, m.Size), err))
		} else if p := differ(got, m); p != "" {
			problems = append(problems, fmt.Sprintf("manifest %s %s", m.Digest, p))
		}
	}
	for b := range c.Blobs() {
		if wanted[b.Digest] {
			continue
		}
		wanted[b.Digest] = true
		size, err := s.Store.StatBlob(ctx, repo, b.Digest)
		if err != nil {
			problems = append(problems, fmt.Sprintf("missing blob %s: %v", inBrief(b.MediaType, b.Digest, b.Size), err))
		} else if size != b.Size {
			problems = append(problems, fmt.Sprintf("blob %s has %d bytes", inBrief(b.MediaType, b.Digest, b.Size), size))
		}
	}
	return problems
}
