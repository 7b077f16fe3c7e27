package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
)

// manifestAlterations are alterations that break manifests and tags.
var manifestAlterations = []alteration{
	{"StatManifest has no size", []string{"manifest is read by digest and tag"}, func(a *altered) {
		a.statManifest = func(ctx context.Context, repo, ref string) (ocispec.Descriptor, error) {
			d, err := a.Store.StatManifest(ctx, repo, ref)
			d.Size = 0
			return d, err
		}
	}},
	{"a manifest is read as a blob", []string{"manifest is not a blob, nor a blob a manifest"}, func(a *altered) {
		a.statBlob = func(ctx context.Context, repo string, d digest.Digest) (int64, error) {
			if m, err := a.Store.StatManifest(ctx, repo, string(d)); err == nil {
				return m.Size, nil
			}
			return a.Store.StatBlob(ctx, repo, d)
		}
	}},
	{"a blob in an index is a manifest", []string{"blob in an index is no manifest"}, func(a *altered) {
		var inIndex sync.Map
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			var index ocispec.Index
			json.Unmarshal(m.Content, &index)
			for _, child := range index.Manifests {
				inIndex.Store(string(child.Digest), nil)
			}
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
		a.statManifest = func(ctx context.Context, repo, ref string) (ocispec.Descriptor, error) {
			d, err := a.Store.StatManifest(ctx, repo, ref)
			if _, child := inIndex.Load(ref); child && err != nil {
				d.Digest = digest.Digest(ref)
				d.Size, err = a.Store.StatBlob(ctx, repo, d.Digest)
			}
			return d, err
		}
	}},
	{"only the first tag is kept", []string{"manifest is read by digest and tag"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			return a.Store.PutManifest(ctx, repo, m, tags[:min(1, len(tags))], check)
		}
	}},
	{"a manifest is formatted", []string{"manifest is kept byte for byte"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			var compact bytes.Buffer
			json.Compact(&compact, m.Content)
			m.Content = compact.Bytes()
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
	}},
	{"only OCI manifests are kept", []string{"manifest is of any media type"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			if !strings.HasPrefix(m.MediaType, "application/vnd.oci.image.") {
				return errors.ErrUnsupported
			}
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
	}},
	{"an absent manifest does not wrap fs.ErrNotExist", []string{"absent manifest wraps fs.ErrNotExist"}, func(a *altered) {
		a.getManifest = func(ctx context.Context, repo, ref string) (registry.Manifest, error) {
			m, err := a.Store.GetManifest(ctx, repo, ref)
			if err != nil {
				err = errAltered
			}
			return m, err
		}
	}},
	{"manifests belong to all repositories", []string{"manifest belongs to its repository"}, func(a *altered) {
		a.getManifest = func(ctx context.Context, repo, ref string) (registry.Manifest, error) {
			m, err := a.Store.GetManifest(ctx, repo, ref)
			repos, _ := all(a.Store.Repositories(ctx, ""))
			for i := 0; err != nil && i < len(repos); i++ {
				m, err = a.Store.GetManifest(ctx, repos[i], ref)
			}
			return m, err
		}
	}},
	{"an existing manifest cannot be put", []string{"manifest may be put again"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			if _, err := a.Store.StatManifest(ctx, repo, string(m.Digest)); err == nil {
				return fs.ErrExist
			}
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
	}},
	{"putting a manifest again drops its tags", []string{"manifest may be put again"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			a.Store.DeleteManifest(ctx, repo, m.Digest)
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
	}},
	{"media type is kept for each digest", []string{"media type belongs to the repository"}, func(a *altered) {
		types := map[digest.Digest]string{}
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			types[m.Digest] = m.MediaType
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
		a.getManifest = func(ctx context.Context, repo, ref string) (registry.Manifest, error) {
			m, err := a.Store.GetManifest(ctx, repo, ref)
			m.MediaType = types[m.Digest]
			return m, err
		}
	}},
	{"a tag stays where it is", []string{"tag moves", "check and write are one step"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, _ checkFunc) error {
			tags = slices.DeleteFunc(tags, func(tag string) bool {
				_, err := a.Store.StatManifest(ctx, repo, tag)
				return err == nil
			})
			return a.Store.PutManifest(ctx, repo, m, tags, nil)
		}
	}},
	{"a moved tag is deleted with its old manifest", []string{"tag moves"}, func(a *altered) {
		tagged := map[digest.Digest][]string{}
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			tagged[m.Digest] = append(tagged[m.Digest], tags...)
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
		a.deleteManifest = func(ctx context.Context, repo string, d digest.Digest) error {
			for _, tag := range tagged[d] {
				a.Store.DeleteTag(ctx, repo, tag)
			}
			return a.Store.DeleteManifest(ctx, repo, d)
		}
	}},
	{"tags are lower case", []string{"tag is case-sensitive"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			for i, tag := range tags {
				tags[i] = strings.ToLower(tag)
			}
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
		a.getManifest = func(ctx context.Context, repo, ref string) (registry.Manifest, error) {
			return a.Store.GetManifest(ctx, repo, strings.ToLower(ref))
		}
	}},
	{"a tag outlives its manifest", []string{"deleting a manifest deletes its tags", "manifest may be put again", "tag moves"}, func(a *altered) {
		tagged := map[string]registry.Manifest{}
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			for _, tag := range tags {
				tagged[tag] = m
			}
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
		a.getManifest = func(ctx context.Context, repo, ref string) (registry.Manifest, error) {
			if m, ok := tagged[ref]; ok {
				return m, nil
			}
			return a.Store.GetManifest(ctx, repo, ref)
		}
	}},
	{"a tag is deleted with its manifest", []string{"deleting a tag keeps its manifest"}, func(a *altered) {
		a.deleteTag = func(ctx context.Context, repo, tag string) error {
			d, err := a.Store.StatManifest(ctx, repo, tag)
			if err != nil {
				return err
			}
			return a.Store.DeleteManifest(ctx, repo, d.Digest)
		}
	}},
	{"a manifest is deleted with its blobs", []string{"deleting a manifest keeps its blobs"}, func(a *altered) {
		a.deleteManifest = func(ctx context.Context, repo string, d digest.Digest) error {
			m, _ := a.Store.GetManifest(ctx, repo, string(d))
			if doc, err := manifest.Parse(m.MediaType, m.Content); err == nil {
				for d := range doc.RequiredBlobs {
					a.Store.DeleteBlob(ctx, repo, d)
				}
			}
			return a.Store.DeleteManifest(ctx, repo, d)
		}
	}},
	{"the check is not called", []string{
		"check receives the current digest", "refused write returns the error of check and changes nothing", "check and write are one step",
	}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, _ checkFunc) error {
			return a.Store.PutManifest(ctx, repo, m, tags, nil)
		}
	}},
	{"the check without tags does not receive the digest", []string{"check receives the current digest"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			if len(tags) == 0 && check != nil {
				inner := check
				check = func(tag string, _ digest.Digest) error { return inner(tag, "") }
			}
			return a.Store.PutManifest(ctx, repo, m, tags, check)
		}
	}},
	{"the check is called once", []string{"check receives the current digest"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			called := false
			return a.Store.PutManifest(ctx, repo, m, tags, func(tag string, current digest.Digest) error {
				if called || check == nil {
					return nil
				}
				called = true
				return check(tag, current)
			})
		}
	}},
	{"the error of the check is wrapped", []string{"refused write returns the error of check and changes nothing"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			if err := a.Store.PutManifest(ctx, repo, m, tags, check); err != nil {
				return fmt.Errorf("put: %w", err)
			}
			return nil
		}
	}},
	{"the manifest is put before the check", []string{"refused write returns the error of check and changes nothing"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			return errors.Join(a.Store.PutManifest(ctx, repo, m, nil, nil), a.Store.PutManifest(ctx, repo, m, tags, check))
		}
	}},
	{"each tag is checked and put in turn", []string{"refused write returns the error of check and changes nothing"}, func(a *altered) {
		a.putManifest = func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error {
			for _, tag := range tags {
				if err := a.Store.PutManifest(ctx, repo, m, []string{tag}, check); err != nil {
					return err
				}
			}
			return a.Store.PutManifest(ctx, repo, m, nil, nil)
		}
	}},
}
