package layout_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
)

// referrerOf returns the manifest of an index without children that has the
// subject and the artifact type a/b. The digest depends on the number i.
func referrerOf(subject digest.Digest, i int) registry.Manifest {
	content := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[],"artifactType":"a/b","annotations":{"number":"%d"},"subject":{"mediaType":%q,"digest":%q,"size":2}}`,
		indexType, i, indexType, subject)
	return registry.Manifest{MediaType: indexType, Digest: digest.FromBytes(content), Content: content}
}

// TestReferrersTags checks that the referrers tag of a subject (distribution spec,
// Referrers Tag Schema) names the list of its referrers after each push and
// deletion, unless a client set the tag or pushed the list.
func TestReferrersTags(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{"tree": t.TempDir(), "layout": emptyLayout(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			s := open(t, dir, layout.ReferrersTags())
			app := dir
			if name == "tree" {
				app = filepath.Join(dir, "app")
			}
			put(t, s, "app", 0, "v0")
			subject := smallImage(0).Digest
			tag := "sha256-" + subject.Encoded()
			count := func() int {
				blobs, err := os.ReadDir(filepath.Join(app, "blobs", "sha256"))
				require.NoError(t, err)
				return len(blobs)
			}
			want := func(referrers ...registry.Manifest) {
				t.Helper()
				var digests, got []digest.Digest
				for _, r := range referrers {
					digests = append(digests, r.Digest)
				}
				for _, s := range []*layout.Store{s, open(t, dir)} {
					m, err := s.GetManifest(ctx, "app", tag)
					require.NoError(t, err)
					var list ocispec.Index
					require.NoError(t, json.Unmarshal(m.Content, &list))
					got = nil
					for _, d := range list.Manifests {
						got = append(got, d.Digest)
						require.Equal(t, "a/b", d.ArtifactType)
					}
					require.ElementsMatch(t, digests, got)
				}
			}
			push := func(m registry.Manifest, tags ...string) {
				require.NoError(t, s.PutManifest(ctx, "app", m, tags, nil))
			}
			one, two := referrerOf(subject, 1), referrerOf(subject, 2)
			push(one)
			want(one)
			push(two, "signature")
			want(one, two)
			require.Equal(t, 4, count(), "the store keeps one list of referrers")
			require.NoError(t, s.DeleteManifest(ctx, "app", one.Digest))
			want(two)
			_, err := s.GetManifest(ctx, "app", string(one.Digest))
			wantNotExist(t, err)
			require.NoError(t, s.DeleteManifest(ctx, "app", two.Digest))
			require.Equal(t, []string{"app:v0"}, tagsOf(t, s))
			require.Equal(t, 1, count())

			// The store does not change a referrers tag that a client set.
			push(one)
			put(t, s, "app", 1, tag)
			push(two)
			wantManifestDigest(t, s, "app", tag, 1)
			wantReferrers(t, s, "app", subject, one.Digest, two.Digest)
			require.Equal(t, []string{"app:" + tag, "app:v0"}, tagsOf(t, s))

			// The store does not change a list of referrers that a client
			// pushed.
			require.NoError(t, s.DeleteTag(ctx, "app", tag))
			push(one)
			m, err := s.GetManifest(ctx, "app", tag)
			require.NoError(t, err)
			want(one, two)
			push(m, tag)
			require.NoError(t, s.DeleteManifest(ctx, "app", one.Digest))
			want(one, two)
		})
	}
}

// TestNoReferrersTags checks that the store sets no referrers tag without the
// option ReferrersTags.
func TestNoReferrersTags(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	require.NoError(t, s.PutManifest(t.Context(), "app", referrerOf(smallImage(0).Digest, 1), nil, nil))
	require.Equal(t, []string{"app"}, tagsOf(t, s))
}
