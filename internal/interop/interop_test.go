package interop

import (
	"bytes"
	"flag"
	"io"
	"log"
	"runtime"
	"strconv"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"

	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest/content"
)

const docs = "../../docs/clients.md"

// TestMain silences the global loggers, because containerd's content store and
// go-containerregistry's registry cannot use other loggers. It runs at least
// eight tests at a time, unless -parallel is set, because clients wait for
// seconds before they retry.
func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	logrus.SetOutput(io.Discard)
	if err := flag.Set("test.parallel", strconv.Itoa(max(8, runtime.GOMAXPROCS(0)))); err != nil {
		log.Panic(err)
	}
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

// open opens the manifest or blob of the content with the descriptor's digest. It
// returns nil if the content has none.
func open(content content.Content, desc ocispec.Descriptor) io.ReadSeeker {
	for m := range content.Manifests() {
		if m.Digest == desc.Digest {
			return bytes.NewReader(m.Manifest)
		}
	}
	for b := range content.Blobs() {
		if b.Digest == desc.Digest {
			return b.Open()
		}
	}
	return nil
}
