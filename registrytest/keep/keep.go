// Package keep writes the content of a test's registry, and the requests that it got,
// to disk if the test fails.
//
//	reg := registrytest.NewServer(t, keep.OnFailure(""))
package keep

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/journal"
	"github.com/ocireg/registry/registrytest/journal/export"
)

// A Keeper is an option of package registrytest that writes the content of the server
// to disk, see [OnFailure].
type Keeper struct{ dir string }

// OnFailure makes a server that writes its content to disk if the test fails. The
// content is a tree of OCI image layouts, which other tools read. The tree is a new
// directory in dir or, if dir is "", in the artifact directory of the test, which go
// test -artifacts keeps; before Go 1.26, tests have none. The test logs the path of
// the tree. The tree has all content that [content.Copy] copies, and the file
// requests.har with the requests as an HTTP Archive.
func OnFailure(dir string) Keeper { return Keeper{dir} }

// Options returns no options, because a Keeper does not change the handler.
func (Keeper) Options() []registry.Option { return nil }

// AfterTest writes the content of the server if the test t has failed. Package
// registrytest calls it after the server was closed.
func (k Keeper) AfterTest(t registrytest.TB, s *registrytest.Server) {
	t.Helper()
	if !t.Failed() {
		return
	}
	dir := k.dir
	if dir == "" {
		artifacts, ok := t.(interface{ ArtifactDir() string })
		if !ok {
			t.Logf("keep: the content of %s is not kept: the test has no directory for it; give OnFailure one", s.Host())
			return
		}
		dir = artifacts.ArtifactDir()
	}
	kept, err := copyToLayout(t.Name(), dir, s.Store)
	if err != nil {
		t.Logf("keep: writing the content of %s: %v", s.Host(), err)
		return
	}
	if err := writeHAR(filepath.Join(kept, "requests.har"), s.Requests()); err != nil {
		t.Logf("keep: writing the requests to %s: %v", s.Host(), err)
	}
	t.Logf("keep: the content of %s is in %s", s.Host(), kept)
}

func writeHAR(name string, requests journal.Requests) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	err = export.HAR(f, requests)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// copyToLayout copies the content of the store into a new directory in dir, and
// returns the path of the new directory. The name of the directory begins with the
// parameter name.
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
