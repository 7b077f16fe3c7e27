package explore

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/explore"
)

// seedLists puts a tag and a referrer into the registry.
func seedLists(t *explore.T, reg *registrytest.Server) {
	seed(t, reg)
	reg.Push(t, "team/app", content.Artifact("application/vnd.example.file", content.Subject(image())))
}

// imageTags returns the tags except the referrers tags, which clients create if
// the registry lacks the referrers API.
func imageTags(tags []string) []string {
	return slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { return strings.HasPrefix(tag, "sha256-") })
}

func ggcrLists(t *explore.T, reg *registrytest.Server) error {
	repo, err := name.NewRepository(reg.Ref("team/app"))
	if err != nil {
		return err
	}
	tags, err := remote.List(repo, ggcrOptions(t, reg)...)
	if err != nil {
		return err
	}
	t.Result("tags", imageTags(tags))
	index, err := remote.Referrers(repo.Digest(image().Digest.String()), ggcrOptions(t, reg)...)
	if err != nil {
		return err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return err
	}
	t.Result("referrers", fmt.Sprint(len(m.Manifests)))
	return nil
}

func orasLists(t *explore.T, reg *registrytest.Server) error {
	repo, _, err := orasRepository(reg)
	if err != nil {
		return err
	}
	var tags []string
	if err := repo.Tags(t.Context(), "", func(page []string) error {
		tags = append(tags, page...)
		return nil
	}); err != nil {
		return err
	}
	t.Result("tags", imageTags(tags))
	n := 0
	err = repo.Referrers(t.Context(), image().Descriptor(), "", func(page []ocispec.Descriptor) error {
		n += len(page)
		return nil
	})
	t.Result("referrers", n)
	return err
}

func regclientLists(t *explore.T, reg *registrytest.Server) error {
	rc, r, err := regclientOf(reg)
	if err != nil {
		return err
	}
	tags, err := rc.TagList(t.Context(), r)
	if err != nil {
		return err
	}
	t.Result("tags", imageTags(tags.Tags))
	referrers, err := rc.ReferrerList(t.Context(), r)
	if err != nil {
		return err
	}
	t.Result("referrers", len(referrers.Descriptors))
	return nil
}
