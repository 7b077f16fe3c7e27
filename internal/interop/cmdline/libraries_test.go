package cmdline

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/check"
)

// A library is a client library. TestCheck builds the smallest program that uses it,
// and checks the program.
type library struct {
	module string // the path of the go.mod that requires the library, and the name of its module
	dir    string // the directory of the program
	file   string // the description of the program, for check.Parse
}

var libraries = []library{
	{"../go.mod github.com/containerd/containerd/v2", "../programs/containerd-client", `
name         containerd
version      containerd-client version
pull         containerd-client pull {ref} {dir}/store
pull-digest  containerd-client pull {repo}@{digest} {dir}/store
push         containerd-client push {layout} {to}
copy         containerd-client copy {ref} {to} {dir}/store
referrers    containerd-client referrers {ref}
`},
	{"../heavy/go.mod github.com/notaryproject/notation-go", "../heavy/programs/notation-client", `
name         notation-go
version      notation-client version
sign         notation-client sign {repo}@{digest}
verify       notation-client verify {ref}
`},
}

// build builds the program in a directory that is in PATH. With go test -short the
// test is skipped.
func (l library) build(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("building the client takes too long for -short")
	}
	bin := t.TempDir()
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	cmd := exec.Command("go", "build", "-o", filepath.Join(bin, filepath.Base(l.dir)), ".")
	cmd.Dir = l.dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// A checked is a client in the tables of TestCheck.
type checked struct {
	check.Client
	start func(t *testing.T) // it may skip the test
}

// checkedClients returns the clients that ocireg check knows, and the libraries.
func checkedClients(t *testing.T) (clients []checked) {
	t.Helper()
	for _, name := range knownClients() {
		client, ok := check.Get(name)
		require.True(t, ok)
		clients = append(clients, checked{client, func(t *testing.T) { need(t, name) }})
	}
	for _, l := range libraries {
		client, err := check.Parse(l.file)
		require.NoError(t, err)
		clients = append(clients, checked{client, l.build})
	}
	return clients
}
