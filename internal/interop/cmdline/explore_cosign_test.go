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

// A signing is a task of cosign with a key that all runs share, since it takes
// long to make one. Other than package check, it verifies a signature that the
// registry has.
type signing struct {
	keys   string               // a directory
	signed *registrytest.Server // with a signature, or nil
}

// signs reports whether the task signs.
func (r runner) signs() bool { return r.signing != nil && r.task == "attach" }

// start makes the key and, to verify, a signature.
func (s *signing) start(t *testing.T, task string) {
	s.keys = keyPair(t)
	if task != "verify" {
		return
	}
	s.signed = registrytest.NewServer(t)
	s.signed.Push(t, "team/app:v1", small())
	run(t, "cosign", append(signOffline, "--key", filepath.Join(s.keys, "cosign.key"), s.signed.Ref("team/app@"+small().Digest.String()))...)
}

// setup fills a registry.
func (s *signing) setup(t *explore.T, reg *registrytest.Server) {
	if s.signed != nil {
		require.NoError(t, content.Copy(context.Background(), reg.Store, s.signed.Store))
	}
}

// writeKeys writes the key to the home directory of a run.
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

// checkSigned checks that the registry has a signature, with all of its blobs.
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
