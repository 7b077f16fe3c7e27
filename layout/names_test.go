package layout_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/layout"
)

// An indexEntry is an entry of an index.json for the image that smallImage
// returns.
type indexEntry struct {
	image       int
	annotations map[string]string
}

// foreignLayout makes a layout in dir with the given entries and the manifests
// of their images.
func foreignLayout(t testing.TB, dir string, entries ...indexEntry) {
	writeFile(t, dir, "oci-layout", `{"imageLayoutVersion":"1.0.0"}`)
	var list []string
	for _, e := range entries {
		m := smallImage(e.image)
		writeFile(t, dir, "blobs/sha256/"+m.Digest.Encoded(), string(m.Content))
		var annotations []string
		for name, value := range e.annotations {
			annotations = append(annotations, fmt.Sprintf("%q:%q", name, value))
		}
		list = append(list, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"annotations":{%s}}`,
			m.MediaType, m.Digest, len(m.Content), strings.Join(annotations, ",")))
	}
	writeFile(t, dir, "index.json", `{"schemaVersion":2,"manifests":[`+strings.Join(list, ",")+`]}`)
}

// TestNamesOfEntries reads the annotations by which other tools name the entries
// of index.json.
func TestNamesOfEntries(t *testing.T) {
	t.Parallel()
	const (
		refName   = "org.opencontainers.image.ref.name"
		imageName = "io.containerd.image.name"
		baseName  = "org.opencontainers.image.base.name"

		originalRef = "hauler.dev/original-ref"
	)
	hex := strings.Repeat("0123456789abcdef", 4)
	type names = map[string]string
	for _, test := range []struct {
		name    string
		entries []names // the annotations of image 0, image 1 and so on
		want    []string
		tagged  map[string]int // the number of the image that each repository:tag names
	}{
		// Hauler (pkg/store/store.go, writeImage; pkg/consts) gives an image and the
		// manifests attached to it the same name and different kinds. It writes the
		// image first (pkg/content/oci.go, saveIndexLocked).
		{"hauler", []names{
			{"kind": "dev.hauler/image", imageName: "index.docker.io/library/busybox:1.36", refName: "library/busybox:1.36", originalRef: "index.docker.io/library/busybox:1.36"},
			{"kind": "dev.hauler/sigs", imageName: "index.docker.io/library/busybox:1.36", refName: "library/busybox:1.36", originalRef: "index.docker.io/library/busybox:1.36"},
			{"kind": "dev.hauler/referrers/" + hex, imageName: "index.docker.io/library/busybox:1.36", refName: "library/busybox:1.36", originalRef: "index.docker.io/library/busybox:1.36"},
		}, []string{"library/busybox:1.36"}, map[string]int{"library/busybox:1.36": 0}},
		{"hauler, signature first", []names{
			{"kind": "dev.hauler/atts", imageName: "index.docker.io/library/busybox:1.36", refName: "library/busybox:1.36"},
			{"kind": "dev.hauler/sboms", imageName: "index.docker.io/library/busybox:1.36", refName: "library/busybox:1.36"},
			{"kind": "dev.hauler/imageIndex", imageName: "index.docker.io/library/busybox:1.36", refName: "library/busybox:1.36"},
		}, []string{"library/busybox:1.36"}, map[string]int{"library/busybox:1.36": 2}},
		// Hauler writes charts and files without an image name, and manifests that
		// it pulled by digest without a tag.
		{"hauler, chart", []names{{"kind": "dev.hauler/image", refName: "hauler/rancher:2.8.3"}}, []string{"hauler/rancher:2.8.3"}, map[string]int{"hauler/rancher:2.8.3": 0}},
		{"hauler, by digest", []names{{"kind": "dev.hauler/image", imageName: "ghcr.io/team/app@sha256:" + hex, refName: "team/app@sha256:" + hex}}, []string{"team/app"}, nil},
		// Older versions of hauler mark attached manifests with the kinds that
		// cosign defines.
		{"cosign", []names{
			{"kind": "dev.cosignproject.cosign/sigs", refName: "ghcr.io/team/app:v1"},
			{"kind": "dev.cosignproject.cosign/image", refName: "ghcr.io/team/app:v1"},
		}, []string{"team/app:v1"}, map[string]int{"team/app:v1": 1}},
		{"other kinds say nothing", []names{{"kind": "sigs", refName: "v1"}}, []string{"app:v1"}, map[string]int{"app:v1": 0}},
		{"the first of one name counts, as for skopeo and regctl", []names{{refName: "v1"}, {refName: "v1"}}, []string{"app:v1"}, map[string]int{"app:v1": 0}},

		// Versions of zarf before v0.33 write only the name of the base image.
		{"zarf", []names{{baseName: "ghcr.io/stefanprodan/podinfo:6.4.0"}}, []string{"stefanprodan/podinfo:6.4.0"}, map[string]int{"stefanprodan/podinfo:6.4.0": 0}},
		{"base image", []names{{baseName: "docker.io/library/alpine:3", refName: "v1"}}, []string{"app:v1"}, map[string]int{"app:v1": 0}},
		{"base image of one without a valid name", []names{{baseName: "docker.io/library/alpine:3", refName: "No Name"}}, []string{"app"}, nil},

		// Containerd (core/images/archive, addNameAnnotation and ociReferenceName)
		// writes the full name, and the tag with the digest, if the name has one.
		{"containerd", []names{{imageName: "docker.io/library/alpine:3", refName: "3", "containerd.io/distribution.source.docker.io": "library/alpine"}},
			[]string{"library/alpine:3"}, map[string]int{"library/alpine:3": 0}},
		{"containerd, tag with a digest", []names{{imageName: "docker.io/library/alpine:3@sha256:" + hex, refName: "3@sha256:" + hex}},
			[]string{"library/alpine:3"}, map[string]int{"library/alpine:3": 0}},
		{"containerd, by digest", []names{{imageName: "docker.io/library/alpine@sha256:" + hex, refName: "docker.io/library/alpine@sha256:" + hex}},
			[]string{"library/alpine"}, nil},
		{"tag with a digest", []names{{refName: "v1@sha256:" + hex}}, []string{"app:v1"}, map[string]int{"app:v1": 0}},
		// The lifecycle (cmd/lifecycle/exporter.go) gives this name to an image by
		// digest.
		{"digest alone", []names{{refName: "sha256:" + hex}}, []string{"app"}, nil},
		{"no digest after the at sign", []names{{refName: "v1@weird"}}, []string{"app"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var entries []indexEntry
			for i, annotations := range test.entries {
				entries = append(entries, indexEntry{i, annotations})
			}
			foreignLayout(t, dir, entries...)
			s := open(t, dir, layout.Repository("app"))
			require.Equal(t, test.want, tagsOf(t, s))
			repo, _, _ := strings.Cut(test.want[0], ":")
			for i := range entries {
				wantManifestDigest(t, s, repo, string(smallImage(i).Digest), i)
			}
			for ref, image := range test.tagged {
				repo, tag, _ := strings.Cut(ref, ":")
				wantManifestDigest(t, s, repo, tag, image)
				// A push replaces the image that the tag names. The signature does not
				// get the tag.
				put(t, s, repo, 4, tag)
				wantManifestDigest(t, open(t, dir, layout.Repository("app")), repo, tag, 4)
				require.NoError(t, s.DeleteTag(t.Context(), repo, tag))
				require.Equal(t, []string{repo}, tagsOf(t, open(t, dir, layout.Repository("app"))))
			}
		})
	}
}

// A signature with the name of its image can also get its own tag.
func TestAttachedManifestGetsATag(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	foreignLayout(t, dir, indexEntry{0, map[string]string{"kind": "dev.hauler/sigs", "io.containerd.image.name": "docker.io/team/app:v1"}})
	put(t, open(t, dir), "team/app", 0, "signature")
	require.Equal(t, []string{"team/app:signature"}, tagsOf(t, open(t, dir)))
}

func TestUntaggedManifestsAreListed(t *testing.T) {
	t.Parallel()
	const refName = "org.opencontainers.image.ref.name"
	dir := filepath.Join(t.TempDir(), "app")
	foreignLayout(t, dir,
		indexEntry{0, map[string]string{refName: "v1"}}, indexEntry{0, nil}, indexEntry{1, nil},
		indexEntry{2, map[string]string{refName: "docker.io/team/app@sha256:00"}},
		indexEntry{3, map[string]string{"kind": "dev.hauler/sigs", refName: "v1"}})
	for s, app := range map[*layout.Store]int{open(t, dir): 1, open(t, filepath.Dir(dir)): 2} {
		require.Len(t, collect(t, s.Untagged(t.Context(), "app")), app)
	}
	s := open(t, dir)
	m := smallImage(1)
	want := ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Content))}
	require.Equal(t, []ocispec.Descriptor{want}, collect(t, s.Untagged(t.Context(), "app")))
	require.Equal(t, smallImage(2).Digest, collect(t, s.Untagged(t.Context(), "team/app"))[0].Digest)
	require.Empty(t, collect(t, s.Untagged(t.Context(), "none")))
	wantNotExist(t, errorOf(open(t, filepath.Dir(dir)).Untagged(t.Context(), "none")))
}

// The option Tag gives a tag to the only image of a layout that crane pull
// --format oci, ko, rules_oci or the Buildpacks lifecycle wrote without a
// name.
func TestOnlyImageGetsATag(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "app")
	foreignLayout(t, dir, indexEntry{0, nil})
	require.Equal(t, []string{"app"}, tagsOf(t, open(t, dir)))
	s := open(t, dir, layout.Tag("latest"))
	require.Equal(t, []string{"app:latest"}, tagsOf(t, s))
	require.Equal(t, []string{"app:latest"}, tagsOf(t, open(t, filepath.Dir(dir), layout.Tag("latest"), layout.ReadOnly())))
	wantManifestDigest(t, s, "app", "latest", 0)
	put(t, s, "app", 1, "v2")
	require.Equal(t, []string{"app:latest", "app:v2"}, tagsOf(t, open(t, dir)), "the push must write the tag latest to index.json")

	foreignLayout(t, dir, indexEntry{0, nil}, indexEntry{1, nil})
	require.Equal(t, []string{"app"}, tagsOf(t, open(t, dir, layout.Tag("latest"))), "Tag must have no effect on a layout with two entries")
	_, err := layout.Open(dir, layout.Tag("no tag"))
	require.ErrorContains(t, err, `"no tag" is not a valid tag`)
	_, err = layout.Open(dir, nil)
	require.ErrorContains(t, err, "an option is nil; leave it out")
}
