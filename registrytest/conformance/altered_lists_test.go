package conformance

import (
	"context"
	"io/fs"
	"iter"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// listAlterations are alterations that break lists of tags, repositories and
// referrers.
var listAlterations = []alteration{
	{"tags are listed without regard to case", []string{"tags are listed in byte order"}, func(a *altered) {
		a.tags = func(ctx context.Context, repo, last string) iter.Seq2[string, error] {
			tags, err := all(a.Store.Tags(ctx, repo, ""))
			slices.SortFunc(tags, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
			return yields(after(tags, last), err)
		}
	}},
	{"tags are listed from after on, inclusively", []string{"tags are listed in byte order", "many tags are listed"}, func(a *altered) {
		a.tags = func(ctx context.Context, repo, last string) iter.Seq2[string, error] {
			tags, err := all(a.Store.Tags(ctx, repo, last))
			if _, statErr := a.Store.StatManifest(ctx, repo, last); statErr == nil {
				tags = append([]string{last}, tags...)
			}
			return yields(tags, err)
		}
	}},
	{"tags are listed only after an existing tag", []string{"tags are listed in byte order"}, func(a *altered) {
		a.tags = func(ctx context.Context, repo, last string) iter.Seq2[string, error] {
			tags, err := all(a.Store.Tags(ctx, repo, ""))
			return yields(after(tags, last), err)
		}
	}},
	{"at most 100 are listed", []string{"many tags are listed", "many referrers are listed", "listed tags may be deleted"}, func(a *altered) {
		a.tags = func(ctx context.Context, repo, last string) iter.Seq2[string, error] {
			tags, err := all(a.Store.Tags(ctx, repo, last))
			return yields(tags[:min(100, len(tags))], err)
		}
		a.referrers = func(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
			referrers, err := all(a.Store.Referrers(ctx, repo, subject, after))
			return yields(referrers[:min(100, len(referrers))], err)
		}
	}},
	{"an absent repository has an empty list of tags", []string{
		"tags of an absent repository wrap fs.ErrNotExist", "repository exists with its first blob or manifest",
	}, func(a *altered) {
		a.tags = func(ctx context.Context, repo, last string) iter.Seq2[string, error] {
			tags, _ := all(a.Store.Tags(ctx, repo, last))
			return yields(tags, nil)
		}
	}},
	{"a repository without tags is absent", []string{"repository without tags has none"}, func(a *altered) {
		a.tags = func(ctx context.Context, repo, last string) iter.Seq2[string, error] {
			if tags, _ := all(a.Store.Tags(ctx, repo, "")); len(tags) == 0 {
				return yields[string](nil, fs.ErrNotExist)
			}
			return a.Store.Tags(ctx, repo, last)
		}
	}},
	{"repositories are listed by the parts of their names", []string{"repositories are listed in byte order"}, func(a *altered) {
		a.repositories = func(ctx context.Context, last string) iter.Seq2[string, error] {
			repos, err := all(a.Store.Repositories(ctx, ""))
			slices.SortFunc(repos, func(a, b string) int { return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")) })
			return yields(after(repos, last), err)
		}
	}},
	{"repositories without tags are not listed", []string{
		"repository exists with its first blob or manifest", "repositories are listed in byte order", "mounted blob can be read",
	}, func(a *altered) {
		a.repositories = func(ctx context.Context, last string) iter.Seq2[string, error] {
			repos, err := all(a.Store.Repositories(ctx, last))
			return yields(slices.DeleteFunc(repos, func(repo string) bool {
				tags, _ := all(a.Store.Tags(ctx, repo, ""))
				return len(tags) == 0
			}), err)
		}
	}},
	{"an empty store is an error", []string{"empty store has no repositories"}, func(a *altered) {
		a.repositories = func(ctx context.Context, last string) iter.Seq2[string, error] {
			repos, err := all(a.Store.Repositories(ctx, ""))
			if len(repos) == 0 {
				err = fs.ErrNotExist
			}
			return yields(repos, err)
		}
	}},
	{"referrers are listed backwards", []string{"referrers are listed in order of their digests"}, func(a *altered) {
		a.referrers = func(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
			referrers, err := all(a.Store.Referrers(ctx, repo, subject, after))
			slices.Reverse(referrers)
			return yields(referrers, err)
		}
	}},
	{"referrers ignores after", []string{"referrers are listed in order of their digests"}, func(a *altered) {
		a.referrers = func(ctx context.Context, repo string, subject, _ digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
			return a.Store.Referrers(ctx, repo, subject, "")
		}
	}},
	{"referrers are listed without annotations", []string{"referrer is listed with its artifact type and annotations"}, func(a *altered) {
		a.referrers = func(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
			referrers, err := all(a.Store.Referrers(ctx, repo, subject, after))
			for i := range referrers {
				referrers[i].Annotations = nil
			}
			return yields(referrers, err)
		}
	}},
	{"referrers are listed without artifact type", []string{"referrer is listed with its artifact type and annotations"}, func(a *altered) {
		a.referrers = func(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
			referrers, err := all(a.Store.Referrers(ctx, repo, subject, after))
			for i := range referrers {
				referrers[i].ArtifactType = ""
			}
			return yields(referrers, err)
		}
	}},
	{"referrers in no repository are an error", []string{"absent subject or repository has no referrers"}, func(a *altered) {
		a.referrers = func(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
			if _, err := all(a.Store.Tags(ctx, repo, "")); err != nil {
				return yields[ocispec.Descriptor](nil, err)
			}
			return a.Store.Referrers(ctx, repo, subject, after)
		}
	}},
	{"referrers are those of all repositories", []string{"referrers are those of the repository"}, func(a *altered) {
		a.referrers = func(ctx context.Context, _ string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
			repos, _ := all(a.Store.Repositories(ctx, ""))
			var found []ocispec.Descriptor
			for _, repo := range repos {
				referrers, _ := all(a.Store.Referrers(ctx, repo, subject, after))
				found = append(found, referrers...)
			}
			return yields(found, nil)
		}
	}},
	{"deleted manifests are listed as referrers", []string{"deleted manifest is no referrer", "referrers are those of the repository"}, func(a *altered) {
		was := map[digest.Digest][]ocispec.Descriptor{}
		a.referrers = func(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
			referrers, err := all(a.Store.Referrers(ctx, repo, subject, after))
			if after != "" {
				return yields(referrers, err)
			}
			if len(referrers) > len(was[subject]) {
				was[subject] = referrers
			}
			return yields(was[subject], err)
		}
	}},
	{"referrers go with their subject", []string{"referrers outlive their subject"}, func(a *altered) {
		a.deleteManifest = func(ctx context.Context, repo string, d digest.Digest) error {
			referrers, _ := all(a.Store.Referrers(ctx, repo, d, ""))
			for _, r := range referrers {
				a.Store.DeleteManifest(ctx, repo, r.Digest)
			}
			return a.Store.DeleteManifest(ctx, repo, d)
		}
	}},
	{"lists do not stop", []string{"list may be left early"}, func(a *altered) {
		a.tags = func(ctx context.Context, repo, after string) iter.Seq2[string, error] {
			tags, _ := all(a.Store.Tags(ctx, repo, after))
			return func(yield func(string, error) bool) {
				for _, tag := range tags {
					yield(tag, nil)
				}
			}
		}
	}},
	{"lists continue by number", []string{"listed tags may be deleted"}, func(a *altered) {
		a.tags = func(ctx context.Context, repo, after string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for i := 0; ; i++ {
					tags, err := all(a.Store.Tags(ctx, repo, after))
					if err != nil {
						yield("", err)
						return
					}
					if i >= len(tags) || !yield(tags[i], nil) {
						return
					}
				}
			}
		}
	}},
}
