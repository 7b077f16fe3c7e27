package cmdline

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/content"
)

// keyPair makes a key pair for signing and verifying in a new directory.
func keyPair(t *testing.T) string {
	t.Helper()
	need(t, "cosign")
	t.Setenv("COSIGN_PASSWORD", "secret")
	dir := t.TempDir()
	out, _, err := tryIn(t, dir, "cosign", "generate-key-pair")
	require.NoError(t, err, "%s", out)
	return dir
}

// These flags keep cosign from asking services on the internet. Without a
// transparency log, signing needs no list of services; verifying needs a flag.
var (
	signOffline   = []string{"sign", "--yes", "--use-signing-config=false", "--tlog-upload=false"}
	verifyOffline = []string{"verify", "--insecure-ignore-tlog"}
)

// verify verifies the signature of the image with the key in the directory.
func verify(t *testing.T, dir, ref string, args ...string) error {
	t.Helper()
	return fails(try(t, "cosign", slices.Concat(verifyOffline, args, []string{"--key", filepath.Join(dir, "cosign.pub"), ref})...))
}

func startCosign(t *testing.T) caller {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	var trust []string
	call := func(args ...string) error { return fails(try(t, "cosign", append(args, trust...)...)) }
	return caller{
		// The index of a layout that cosign saves names the kind of each manifest.
		pull: func(ref string) (string, error) {
			dir := t.TempDir()
			if err := call("save", "--dir", dir, ref); err != nil {
				return "", err
			}
			return savedImage(dir)
		},
		// The index of a layout must name the kind of each manifest, or
		// cosign does not load it.
		push: func(dir, ref string) error {
			return errors.Join(markSaved(dir, "image"), call("load", "--dir", dir, ref))
		},
		pushIndex: func(dir, ref string) error {
			return errors.Join(markSaved(dir, "imageIndex"), call("load", "--dir", dir, ref))
		},
		byDigest:  true,
		pullIndex: func(ref, dir string) error { return call("save", "--dir", dir, ref) },
		// Cosign prints that copy is deprecated in favour of the commands of copySigned.
		copy:       func(from, to string) error { return call("copy", from, to) },
		copySigned: func(from, to string) error { return saveAndLoad(t, from, to, trust...) },
		sign: func(dir, ref string) (string, error) {
			return try(t, "cosign", append(slices.Clone(signOffline), "--key", filepath.Join(dir, "cosign.key"), ref)...)
		},
		verify: func(dir, ref string) error { return verify(t, dir, ref) },
		login: func(host, user, password string) error {
			return fails(try(t, "cosign", "login", host, "-u", user, "-p", password))
		},
		trust: func(_, dir string) error {
			trust = []string{"--registry-cacert", filepath.Join(dir, "ca.crt")}
			return nil
		},
	}
}

// saveAndLoad copies an image with its signatures through a layout.
func saveAndLoad(t *testing.T, from, to string, args ...string) error {
	t.Helper()
	dir := t.TempDir()
	if err := fails(try(t, "cosign", append([]string{"save", "--dir", dir, from}, args...)...)); err != nil {
		return err
	}
	return fails(try(t, "cosign", append([]string{"load", "--dir", dir, to}, args...)...))
}

// markSaved adds the annotation with the kind to the only manifest of a layout,
// as cosign load expects.
func markSaved(dir, kind string) error {
	file := filepath.Join(dir, "index.json")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var index ocispec.Index
	if err := json.Unmarshal(text, &index); err != nil {
		return err
	}
	index.Manifests[0].Annotations = map[string]string{"kind": "dev.cosignproject.cosign/" + kind}
	text, err = json.Marshal(index)
	return errors.Join(err, os.WriteFile(file, text, 0o600))
}

// savedImage returns the digest of the manifest that cosign marked as the
// image in a layout.
func savedImage(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return "", err
	}
	var index struct {
		Manifests []struct {
			Digest      string
			Annotations map[string]string
		}
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return "", err
	}
	for _, m := range index.Manifests {
		if m.Annotations["kind"] == "dev.cosignproject.cosign/image" {
			return m.Digest, nil
		}
	}
	return "", os.ErrNotExist
}

// A signature of cosign refers to the image. Without the referrers API, and in
// cosign's older form, a tag names the signature.
func TestCosignSignature(t *testing.T) {
	tag := strings.Replace(image().Digest.String(), ":", "-", 1)
	tests := []struct {
		name      string
		serve     []string
		form      []string
		tags      []string
		referrers int

		// copied is set if a copy through a layout keeps the signature.
		copied bool
	}{
		{name: "referrer", tags: []string{"v1"}, referrers: 1},
		{name: "no referrers API", serve: []string{"-no-referrers"}, tags: []string{tag, "v1"}, referrers: 1},
		{name: "behind Basic", serve: []string{"-user", "ci:secret"}, tags: []string{"v1"}, referrers: 1},
		{name: "behind tokens", serve: []string{"-user", "ci:secret", "-token"}, tags: []string{"v1"}, referrers: 1},
		// Cosign load pushes the manifest of a signature before its blob, which
		// only a registry with -sparse accepts.
		{name: "sparse manifests", serve: []string{"-sparse"}, tags: []string{"v1"}, referrers: 1, copied: true},
		{name: "tag", form: []string{"--new-bundle-format=false"}, tags: []string{tag + ".sig", "v1"}, copied: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			key := keyPair(t)
			t.Setenv("DOCKER_CONFIG", t.TempDir())
			s := serve(t, map[string]content.Content{"team/app:v1": image()}, test.serve...)
			run(t, "cosign", "login", s.host, "-u", "ci", "-p", "secret")
			ref := s.ref("team/app@" + image().Digest.String())
			run(t, "cosign", slices.Concat(signOffline, test.form, []string{"--key", filepath.Join(key, "cosign.key"), ref})...)
			require.NoError(t, verify(t, key, ref, test.form...))
			state := s.state(t)
			require.Equal(t, test.tags, state.Tags(t, "team/app"))
			require.Len(t, state.Referrers(t, "team/app:v1"), test.referrers)

			err := saveAndLoad(t, s.ref("team/app:v1"), s.ref("team/copy:v1"))
			require.Equal(t, test.copied, err == nil)
			err = verify(t, key, s.ref("team/copy@"+image().Digest.String()), test.form...)
			require.Equal(t, test.copied, err == nil)

			// Verification fails after the signature is deleted.
			for _, d := range state.Referrers(t, "team/app:v1") {
				require.NoError(t, state.Store.DeleteManifest(t.Context(), "team/app", d.Digest))
			}
			if test.tags[0] != "v1" {
				require.NoError(t, state.Store.DeleteTag(t.Context(), "team/app", test.tags[0]))
			}
			require.Error(t, verify(t, key, ref, test.form...))
		})
	}
}
