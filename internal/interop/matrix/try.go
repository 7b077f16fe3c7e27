package matrix

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
)

// A try is a client in a scenario, or under a fault.
type try struct {
	*testing.T
	reg    *registrytest.Server
	client Client

	// faults are the rules of the registry. Those in injected are checked at the
	// end, unless the client lacks the call that they are for.
	faults   *fault.Rules
	injected []*fault.Fault

	// mayFail is set if an error of the client is an outcome for the table.
	mayFail bool
}

// start starts a registry, and a client of it.
func start(t *testing.T, f Factory, opts ...registrytest.Option) *try {
	var faults fault.Rules
	reg := registrytest.NewServer(t, append(opts, registry.WithFaults(faults.Inject))...)
	return &try{T: t, reg: reg, client: f.New(t, newEnv(reg)), faults: &faults}
}

// fault has something go wrong.
func (s *try) fault(r fault.Rule) *fault.Fault {
	s.Helper()
	in, err := s.faults.Add(r)
	require.NoError(s, err)
	s.injected = append(s.injected, in)
	return in
}

// lacking ends a test for want of something in the client.
type lacking struct{ why Lacks }

// failing ends a test with an error that is its outcome.
type failing struct{}

// must ends the test unless err is nil.
func (s *try) must(err error) {
	s.Helper()
	if lacks, ok := errors.AsType[Lacks](err); ok {
		panic(lacking{lacks})
	}
	if err != nil && s.mayFail {
		s.Logf("the client says: %v", err)
		panic(failing{})
	}
	require.NoError(s, err)
}

// attempt runs a scenario. If the client lacks a call, it returns the reason.
func (s *try) attempt(run func(s *try) string) (seen string, lacks Lacks) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case lacking:
			lacks = r.why
		case failing:
			seen = "failed"
		default:
			panic(r)
		}
	}()
	seen = run(s)
	for _, in := range s.injected {
		in.Check(s)
	}
	return seen, ""
}

// push pushes content and checks every byte in the store.
func (s *try) push(name string, c content.Content) {
	s.Helper()
	s.must(s.client.Push(s.Context(), s.reg.Ref(name), c))
	s.stored(name, c)
}

// stored checks that all of the content is in the store.
func (s *try) stored(name string, c content.Content) {
	s.Helper()
	repo, _, _ := strings.Cut(name, "@")
	repo, _, tagged := strings.Cut(repo, ":")
	if tagged {
		s.reg.CheckTag(s, name, c)
	}
	for m := range c.Manifests() {
		got, err := s.reg.Store.GetManifest(s.Context(), repo, m.Digest.String())
		require.NoError(s, err)
		require.Equal(s, string(m.Manifest), string(got.Content))
		require.Equal(s, m.MediaType, got.MediaType)
	}
	for b := range c.Blobs() {
		s.storedBlob(repo, b)
	}
}

// storedBlob checks every byte of a blob in the store.
func (s *try) storedBlob(repo string, b content.Blob) {
	s.Helper()
	got, err := s.reg.Store.OpenBlob(s.Context(), repo, b.Digest)
	require.NoError(s, err)
	s.same(got, b)
}

// inLayout checks every byte of a blob in an image layout.
func (s *try) inLayout(dir string, b content.Blob) {
	s.Helper()
	got, err := os.Open(filepath.Join(dir, "blobs", b.Digest.Algorithm().String(), b.Digest.Encoded()))
	require.NoError(s, err)
	s.same(got, b)
}

// same checks that the reader has the content of the blob, and closes it.
func (s *try) same(got io.ReadCloser, b content.Blob) {
	s.Helper()
	defer got.Close()
	same, err := equal(got, b.Open())
	require.NoError(s, err)
	require.True(s, same, "%s", b.Digest)
}

// pull pulls content and compares every byte.
func (s *try) pull(name string, c content.Content) {
	s.Helper()
	got := expect(c)
	s.must(s.client.Pull(s.Context(), s.reg.Ref(name), got.take))
	require.NoError(s, got.err())
}
