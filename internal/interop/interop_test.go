package interop

import (
	"io"
	"log"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/ocireg/registry/internal/interop/matrix"
)

const docs = "../../docs/clients.md"

// TestMain keeps those quiet that take no logger: containerd's content store and
// go-containerregistry's registry.
func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	logrus.SetOutput(io.Discard)
	m.Run()
}

var clients = []matrix.Factory{ggcr, craneLibrary, orasGo, regClient, containerd2.factory(), containerd1.factory()}

func TestScenarios(t *testing.T) {
	t.Parallel()
	matrix.Scenarios(t, docs, clients...)
}

func TestLogins(t *testing.T) {
	t.Parallel()
	matrix.Logins(t, docs, clients...)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	matrix.Faults(t, docs, clients...)
}
