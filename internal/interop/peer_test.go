package interop

import (
	"io"
	"log"
	"runtime"
	"testing"

	peer "github.com/google/go-containerregistry/pkg/registry"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest/conformance"
)

// A trial is a conformance.TB that records whether the test fails.
type trial struct {
	*testing.T
	failed   bool
	cleanups []func()
}

// try reports whether the test, or one of its cleanups, fails.
func try(t *testing.T, test func(conformance.TB)) (failed bool) {
	tr := &trial{T: t}
	run := func(f func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			f()
		}()
		<-done
	}
	run(func() { test(tr) })
	for len(tr.cleanups) > 0 {
		last := tr.cleanups[len(tr.cleanups)-1]
		tr.cleanups = tr.cleanups[:len(tr.cleanups)-1]
		run(last)
	}
	return tr.failed
}

func (t *trial) Failed() bool          { return t.failed }
func (t *trial) Cleanup(f func())      { t.cleanups = append(t.cleanups, f) }
func (t *trial) Logf(string, ...any)   {}
func (t *trial) Errorf(string, ...any) { t.failed = true }
func (t *trial) Fatalf(string, ...any) {
	t.failed = true
	runtime.Goexit()
}

// TestOtherRegistry tests go-containerregistry's registry: the conformance test
// must find its known deviations.
func TestOtherRegistry(t *testing.T) {
	t.Parallel()
	quiet := log.New(io.Discard, "", 0)
	table := matrix.OpenTable(t, docs, "other registry")
	var failed []string
	for _, r := range conformance.Requirements() {
		target := conformance.Target{Handler: peer.New(peer.Logger(quiet), peer.WithReferrersSupport(true))}
		if try(t, func(tb conformance.TB) { r.Check(tb, target) }) {
			failed = append(failed, r.Name)
			table.Check(t, r.Name, "Level", string(r.Level))
			table.Check(t, r.Name, "Section", r.Section)
		}
	}
	table.CheckRows(t, failed)
	require.Subset(t, failed, []string{
		// All repositories share their blobs, but a mount starts an upload.
		"blob of another repository is 404",
		"mount is 201 with the Location of the blob",
		// Upload sessions have no status and cannot be cancelled. The response to
		// a chunk out of order has no Range.
		"status of an upload is 204 with Location and Range",
		"cancelling an upload is 204",
		"upload continues after a chunk out of order",
		"one range of a blob is 206",
		"manifest by a digest other than sha256",
		"manifest that does not match its digest is refused",
		"tags after last are listed",
		"Link leads to the next repositories",
		"subject is confirmed by OCI-Subject",
		"referrer has the artifactType of its manifest",
		"referrers can be filtered",
		"deleted manifest and its tags are 404",
	})
}
