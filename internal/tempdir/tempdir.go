// Package tempdir makes directories for tests that write thousands of small files.
package tempdir

import (
	"os"
	"testing"
)

// New returns a new directory, which is removed at the end of the test. It is in
// memory if the system has a file system there with enough space: on a disk,
// tests that write many files spend half of their CPU time in the file system. If
// the environment sets TMPDIR, the directory is there, like that of t.TempDir.
func New(t testing.TB) string {
	t.Helper()
	parent := memory()
	if os.Getenv("TMPDIR") != "" || parent == "" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(parent, "ocireg-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing the test's directory: %v", err)
		}
	})
	return dir
}

// Main runs the tests of a package with all their temporary directories in memory,
// under the conditions of New. Call it in TestMain if the package under test, or the
// processes that it starts, make the directories.
func Main(m *testing.M) (code int) {
	if dir := memory(); dir != "" && os.Getenv("TMPDIR") == "" {
		os.Setenv("TMPDIR", dir)
	}
	return m.Run()
}
