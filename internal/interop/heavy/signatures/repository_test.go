// Package signatures tests notation-go's package registry as that project's own
// tests do, but with adapters/oras in place of hand-written clients and targets.
package signatures

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	notation "github.com/notaryproject/notation-go/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	orastest "github.com/ocireg/registry/adapters/oras"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/content/referrer"
	"github.com/ocireg/registry/registrytest/fault"
)

const jws = "application/jose+json"

// signatures lists the signatures of the subject with notation-go.
func signatures(t *testing.T, repo notation.Repository, subject content.Content) (all []ocispec.Descriptor, err error) {
	return all, repo.ListSignatures(t.Context(), subject.Descriptor(), func(page []ocispec.Descriptor) error {
		all = append(all, page...)
		return nil
	})
}

// notation-go pushes, lists and fetches a signature over HTTP, and directly in both
// stores.
func TestPushAndFetch(t *testing.T) {
	t.Parallel()
	disk, err := layout.Open(t.TempDir())
	require.NoError(t, err)
	defer disk.Close()
	remote, memory, tree := registrytest.NewServer(t), content.State{Store: memstore.New()}, content.State{Store: disk}
	for name, test := range map[string]struct {
		state content.State
		repo  notation.Repository
	}{
		"HTTP":   {remote.State, notation.NewRepository(orastest.Repository(t, remote, "app"))},
		"memory": {memory, notation.NewRepository(orastest.Target(memory.Store, "app"))},
		"layout": {tree, notation.NewRepositoryWithOptions(orastest.Target(disk, "app"), notation.RepositoryOptions{})},
	} {
		app := test.state.Push(t, "app:v1", content.Image())
		test.state.Push(t, "app", referrer.SPDX(app))
		subject, err := test.repo.Resolve(t.Context(), app.Digest.String())
		require.NoError(t, err, name)
		require.Equal(t, app.Descriptor(), subject)
		_, err = test.repo.Resolve(t.Context(), "invalid reference")
		require.Error(t, err, name)

		annotations := map[string]string{"io.cncf.notary.x509chain.thumbprint#S256": `["9f5f"]`, ocispec.AnnotationCreated: "2023-03-14T08:10:02Z"}
		blob, manifest, err := test.repo.PushSignature(t.Context(), jws, []byte("signature"), subject, annotations)
		require.NoError(t, err, name)
		require.Equal(t, ocispec.MediaTypeImageManifest, manifest.MediaType)
		require.Equal(t, annotations, manifest.Annotations)

		listed, err := signatures(t, test.repo, app)
		require.NoError(t, err, name)
		require.Len(t, listed, 1, name)
		require.Equal(t, manifest.Digest, listed[0].Digest)
		raw, desc, err := test.repo.FetchSignatureBlob(t.Context(), listed[0])
		require.NoError(t, err, name)
		require.Equal(t, "signature", string(raw))
		require.Equal(t, blob, desc)
	}
}

// notation-go finds signatures that other clients pushed, and reports
// errors of the registry.
func TestRemote(t *testing.T) {
	t.Parallel()
	reg := registrytest.NewServer(t)
	repo := notation.NewRepository(orastest.Repository(t, reg, "app"))
	app := reg.Push(t, "app:v1", content.Image())
	signature := reg.Push(t, "app", referrer.NotationSignature(app))
	listed, err := signatures(t, repo, app)
	require.NoError(t, err)
	require.Len(t, listed, 1)
	require.Equal(t, signature.Digest, listed[0].Digest)

	reg.Fault(t, fault.On(registry.PostBlob, registry.StartUpload).Once().Status(403))
	_, _, err = repo.PushSignature(t.Context(), jws, []byte("another"), app.Descriptor(), nil)
	require.ErrorContains(t, err, "403")
	reg.Fault(t, fault.On(registry.GetManifest).Once().Status(403))
	_, _, err = repo.FetchSignatureBlob(t.Context(), listed[0])
	require.ErrorContains(t, err, "403")
	large := content.Blob{Descriptor: ocispec.Descriptor{MediaType: jws, Digest: digest.FromString("large"), Size: 32<<20 + 1}}
	_, _, err = repo.FetchSignatureBlob(t.Context(), reg.Push(t, "app", content.Artifact(notation.ArtifactTypeNotation, large)).Descriptor())
	require.ErrorContains(t, err, "too large")
	require.Len(t, reg.Referrers(t, "app:v1"), 1, "the registry has no signature from the refused push")
}

// unreadable is a store whose manifests are listed but cannot be read.
type unreadable struct{ registry.Store }

func (s unreadable) GetManifest(ctx context.Context, repo, ref string) (registry.Manifest, error) {
	return registry.Manifest{}, errors.New("the disk is on fire")
}

// notation-go leaves out manifests without a subject, and returns an error for
// manifests that are broken or cannot be read.
func TestReferrers(t *testing.T) {
	t.Parallel()
	app := content.Image()
	_, err := signatures(t, notation.NewRepository(orastest.Target(registry.UnimplementedStore{}, "app")), app)
	require.ErrorIs(t, err, errors.ErrUnsupported)

	for _, mediaType := range []string{ocispec.MediaTypeImageManifest, "application/vnd.oci.artifact.manifest.v1+json"} {
		for raw, want := range map[string]string{
			"invalid content":                 "invalid character",
			strings.Repeat(" ", 4<<20) + "{}": "referrer node too large",
			"{}":                              "", // a manifest without a subject
		} {
			store := memstore.New()
			m := registry.Manifest{MediaType: mediaType, Digest: digest.FromString(raw), Content: []byte(raw), Subject: app.Digest}
			require.NoError(t, store.PutManifest(t.Context(), "app", m, nil, nil))
			listed, err := signatures(t, notation.NewRepository(orastest.Target(store, "app")), app)
			if want == "" {
				require.NoError(t, err)
				require.Empty(t, listed)
				_, err = signatures(t, notation.NewRepository(orastest.Target(unreadable{store}, "app")), app)
				want = "the disk is on fire"
			}
			require.ErrorContains(t, err, want)
		}
	}
}

func TestLayoutsThatCannotBe(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o666))
	closed := filepath.Join(t.TempDir(), "closed")
	require.NoError(t, os.Mkdir(closed, 0))
	for _, dir := range []string{"invalid-path", file, closed} {
		if dir == closed && os.Geteuid() == 0 {
			continue // Root can open every directory.
		}
		_, err := notation.NewOCIRepository(dir, notation.RepositoryOptions{})
		require.Error(t, err, dir)
	}
}
