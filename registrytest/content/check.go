package content

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
	"github.com/ocireg/registry/internal/linediff"
)

// Get returns the manifest that the reference names by tag or digest in a store,
// with the descriptors of its config, layers and children. These have no content
// of their own: [ReadBlob] and Get return it. If the store does not have the
// manifest, the error wraps [io/fs.ErrNotExist] and says which tags there are.
func Get(ctx context.Context, s registry.Store, ref string) (Content, error) {
	m, err := getManifest(ctx, s, ref)
	if err != nil {
		return Content{}, err
	}
	return read(m.MediaType, m.Digest, m.Content), nil
}

func getManifest(ctx context.Context, s registry.Store, ref string) (registry.Manifest, error) {
	r, err := parseReference(ref)
	if err != nil {
		return registry.Manifest{}, fmt.Errorf("reading %s: %w", ref, err)
	}
	reference := string(r.digest)
	if reference == "" {
		reference = r.tag
	}
	if reference == "" {
		return registry.Manifest{}, fmt.Errorf("reading %s: there is no tag and no digest in the reference", ref)
	}
	m, err := s.GetManifest(ctx, r.repo, reference)
	if err != nil {
		return registry.Manifest{}, fmt.Errorf("reading %s: %w; %s", ref, err, summary(ctx, s, r.repo))
	}
	return m, nil
}

// summary says which tags a repository has.
func summary(ctx context.Context, s registry.Store, repo string) string {
	tags, err := listTags(ctx, s, repo)
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

func listTags(ctx context.Context, s registry.Store, repo string) (tags []string, err error) {
	for tag, err := range s.Tags(ctx, repo, "") {
		if err != nil {
			return nil, err
		}
		tags = append(tags, tag)
	}
	return tags, nil
}

// Tags returns the tags of a repository in ascending order. It returns none if
// the store does not have the repository.
func Tags(ctx context.Context, s registry.Store, repo string) ([]string, error) {
	tags, err := listTags(ctx, s, repo)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the tags of %s: %w", repo, err)
	}
	return tags, nil
}

// ReadBlob returns the content of a blob.
func ReadBlob(ctx context.Context, s registry.Store, repo string, d digest.Digest) ([]byte, error) {
	r, err := s.OpenBlob(ctx, repo, d)
	if err != nil {
		return nil, fmt.Errorf("reading blob %s of %s: %w", d, repo, err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading blob %s of %s: %w", d, repo, err)
	}
	return content, nil
}

// Referrers returns the descriptors of the manifests whose subject is the
// manifest that the reference names by tag or digest, in ascending order of their
// digests. The store need not have a subject that is named by its digest.
func Referrers(ctx context.Context, s registry.Store, ref string) ([]ocispec.Descriptor, error) {
	r, err := parseReference(ref)
	if err != nil {
		return nil, fmt.Errorf("listing the referrers of %s: %w", ref, err)
	}
	if r.digest == "" {
		m, err := getManifest(ctx, s, ref)
		if err != nil {
			return nil, err
		}
		r.digest = m.Digest
	}
	var all []ocispec.Descriptor
	for d, err := range s.Referrers(ctx, r.repo, r.digest, "") {
		if err != nil {
			return nil, fmt.Errorf("listing the referrers of %s: %w", ref, err)
		}
		all = append(all, d)
	}
	return all, nil
}

// CheckTag returns an error unless the tag that the reference names points at
// the manifest of the content, with the same media type.
func CheckTag(ctx context.Context, s registry.Store, ref string, want Content) error {
	got, err := getManifest(ctx, s, ref)
	if err != nil {
		return err
	}
	if problem := differ(got, want); problem != "" {
		return fmt.Errorf("%s %s", ref, problem)
	}
	return nil
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
	return linediff.Lines(split(want), lines, func(i int) string { return lines[i] })
}

// Differences returns the ways in which a repository is not as wanted: it should
// have the given content under the given tags and no other tags, the untagged
// content by its digest, and all blobs and children of both. Other manifests are
// differences too, as far as [Copy] would reach them. There are none if the
// result is empty.
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
	for _, tag := range slices.Sorted(maps.Keys(tagged)) {
		want := tagged[tag]
		if got, ok := gotTags[tag]; !ok {
			problem("missing tag %s: %s", tag, inBrief(want.MediaType, want.Digest, want.Size))
		} else if got.Digest != want.Digest {
			problem("tag %s %s", tag, differ(got, want))
		}
		problems = append(problems, missing(ctx, s, repo, want, wanted)...)
	}
	for _, want := range untagged {
		problems = append(problems, missing(ctx, s, repo, want, wanted)...)
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
	return problems, nil
}

// missing says what of the content is not in the repository as it should be,
// and adds the digests of it all to wanted. It does not look again for what
// is wanted already.
func missing(ctx context.Context, s registry.Store, repo string, c Content, wanted map[digest.Digest]bool) (problems []string) {
	for m := range c.Manifests() {
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
	for b := range c.Blobs() {
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
