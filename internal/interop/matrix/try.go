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
	"github.com/ocireg/registry/registrytest/inject"
)

// A try is a test of one client in a scenario or under a fault, with its registry.
type try struct {
	*testing.T
	reg    *registrytest.Server
	client Client

	// faults are the rules of the registry. At the end of the test, each rule in
	// injected must have hit its requests, unless the client lacks the call.
	faults   *inject.Rules
	injected []*inject.Fault

	// mayFail is set if an error of the client is an outcome for the table, not a
	// failure of the test.
	mayFail bool
}

// start starts a registry and makes a client for it.
func start(t *testing.T, f Factory, opts ...registrytest.Option) *try {
	var faults inject.Rules
	reg := registrytest.NewServer(t, append(opts, registry.WithFaults(faults.Inject))...)
	return &try{T: t, reg: reg, client: f.New(t, newEnv(reg)), faults: &faults}
}

// fault adds a fault rule to the registry.
func (s *try) fault(r fault.Rule) *inject.Fault {
	s.Helper()
	in, err := s.faults.Add(r)
	require.NoError(s, err)
	s.injected = append(s.injected, in)
	return in
}

// lacking is the panic value that ends a try because the client lacks a call.
type lacking struct{ why Lacks }

// failing is the panic value that ends a try with the outcome "failed".
type failing struct{}

// must ends the try unless err is nil. The error decides whether the client lacks
// a call, has the outcome "failed", or fails the test.
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

// attempt runs a scenario and returns its outcome. If the client lacks a call, it
// returns the reason.
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

// push pushes content with the client and compares every byte in the store.
func (s *try) push(name string, c content.Content) {
	s.Helper()
	s.must(s.client.Push(s.Context(), s.reg.Ref(name), c))
	s.stored(name, c)
}

// stored fails the test unless the store has all of the content, and the tag
// if the name has one.
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

// storedBlob fails the test unless the store has every byte of the blob.
func (s *try) storedBlob(repo string, b content.Blob) {
	s.Helper()
	got, err := s.reg.Store.OpenBlob(s.Context(), repo, b.Digest)
	require.NoError(s, err)
	s.same(got, b)
}

// inLayout fails the test unless an image layout has every byte of the blob.
func (s *try) inLayout(dir string, b content.Blob) {
	s.Helper()
	got, err := os.Open(filepath.Join(dir, "blobs", b.Digest.Algorithm().String(), b.Digest.Encoded()))
	require.NoError(s, err)
	s.same(got, b)
}

// same fails the test unless the reader has the content of the blob. It
// closes the reader.
func (s *try) same(got io.ReadCloser, b content.Blob) {
	s.Helper()
	defer got.Close()
	same, err := equal(got, b.Open())
	require.NoError(s, err)
	require.True(s, same, "the bytes of blob %s differ", b.Digest)
}

// pull pulls content with the client and compares every byte.
func (s *try) pull(name string, c content.Content) {
	s.Helper()
	got := expect(c)
	s.must(s.client.Pull(s.Context(), s.reg.Ref(name), got.take))
	require.NoError(s, got.err())
}
