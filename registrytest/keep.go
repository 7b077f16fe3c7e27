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

// WithLayoutOnFailure has what the registry holds written to disk if the test
// has failed, as a tree of OCI image layouts that other tools read: into a new
// directory in dir or, if dir is empty, in the directory of [testing.T] that
// go test -artifacts keeps. The test logs where that is. What is written is
// what [Copy] reaches.
func WithLayoutOnFailure(dir string) Option {
	return option{name: "WithLayoutOnFailure", set: func(set *settings) {
		set.prepare = append(set.prepare, func(s *Server) {
			// This runs after the server was closed, and was found at fault.
			s.t.Cleanup(func() {
				if s.t.Failed() {
					s.writeLayout(dir)
				}
			})
		})
	}}
}

// writeLayout writes what the registry holds into a new directory in dir.
func (s *Server) writeLayout(dir string) {
	s.t.Helper()
	if dir == "" {
		t, ok := s.t.(interface{ ArtifactDir() string })
		if !ok {
			s.t.Logf("registrytest: what %s holds is not kept: the test has no directory for it", s.Host())
			return
		}
		dir = t.ArtifactDir()
	}
	kept, err := copyToLayout(s.t.Name(), dir, s.Store)
	if err != nil {
		s.t.Logf("registrytest: keeping what %s holds: %v", s.Host(), err)
		return
	}
	s.t.Logf("registrytest: what %s holds is in %s", s.Host(), kept)
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
