package cmdline

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/explore"
)

// A signing holds the key with which the runs of cosign sign or verify. They
// share it, because making a key takes long.
type signing struct {
	keys   string               // the directory with the key pair
	signed *registrytest.Server // a registry with a signed image, or nil
}

// signs reports whether the task of the runner is to sign an image.
func (r runner) signs() bool { return r.signing != nil && r.task == "attach" }

// start makes the key. If the task is to verify, it also starts the registry s.signed
// and signs an image there.
func (s *signing) start(t *testing.T, task string) {
	s.keys = keyPair(t)
	if task != "verify" {
		return
	}
	s.signed = registrytest.NewServer(t)
	s.signed.Push(t, "team/app:v1", small())
	run(t, "cosign", append(signOffline, "--key", filepath.Join(s.keys, "cosign.key"), s.signed.Ref("team/app@"+small().Digest.String()))...)
}

// setup fills the registry of a run with the signed image.
func (s *signing) setup(t *explore.T, reg *registrytest.Server) {
	if s.signed != nil {
		require.NoError(t, content.Copy(context.Background(), reg.Store, s.signed.Store))
	}
}

// writeKeys copies the key pair to the home directory of a run.
func (s *signing) writeKeys(home string) error {
	for _, name := range []string{"cosign.key", "cosign.pub"} {
		key, err := os.ReadFile(filepath.Join(s.keys, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(home, name), key, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// checkSigned adds an error to the run unless the registry has a signature of the
// image with all of its blobs.
func checkSigned(t *explore.T, reg *registrytest.Server) {
	signatures := 0
	for d, err := range reg.Store.Referrers(t.Context(), "team/app", small().Digest, "") {
		if err != nil || d.ArtifactType == attached {
			continue
		}
		signatures++
		m, err := content.Get(t.Context(), reg.Store, "team/app@"+d.Digest.String())
		if err != nil {
			t.Errorf("the registry has no manifest of the signature: %v", err)
		}
		for _, blob := range append(m.Layers, m.Config) {
			if _, err := reg.Store.StatBlob(t.Context(), "team/app", blob.Digest); err != nil {
				t.Errorf("the registry does not have a blob of the signature: %v", err)
			}
		}
	}
	if signatures == 0 {
		t.Errorf("the registry has no signature")
	}
}
