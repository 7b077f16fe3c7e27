package registrytest

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest/content"
)

// writeLayout writes the content of the registry into a new directory in dir,
// if the test has failed.
func (s *Server) writeLayout(dir string) {
	s.t.Helper()
	if !s.t.Failed() {
		return
	}
	if dir == "" {
		t, ok := s.t.(interface{ ArtifactDir() string })
		if !ok {
			s.t.Logf("registrytest: the content of %s is not kept: the test has no directory for it; give WithLayoutOnFailure one", s.Host())
			return
		}
		dir = t.ArtifactDir()
	}
	kept, err := copyToLayout(s.t.Name(), dir, s.Store)
	if err != nil {
		s.t.Logf("registrytest: keeping the content of %s: %v", s.Host(), err)
		return
	}
	s.t.Logf("registrytest: the content of %s is in %s", s.Host(), kept)
}

func copyToLayout(name, dir string, store registry.Store) (kept string, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>| `, r) {
			return '-'
		}
		return r
	}, name)
	kept, err = os.MkdirTemp(dir, name+"-")
	if err != nil {
		return "", err
	}
	l, err := layout.Open(kept)
	if err != nil {
		return "", err
	}
	err = content.Copy(context.Background(), l, store)
	if closeErr := l.Close(); err == nil {
		err = closeErr
	}
	if abs, absErr := filepath.Abs(kept); absErr == nil {
		kept = abs
	}
	return kept, err
}
