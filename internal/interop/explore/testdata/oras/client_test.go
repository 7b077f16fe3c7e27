package client

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/ocireg/registry/registrytest"
	basic "github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/explore"
)

// repository returns the repository of the registry, with credentials.
func repository(reg *registrytest.Server) (*remote.Repository, error) {
	repo, err := remote.NewRepository(reg.Ref("team/app"))
	if err != nil {
		return nil, err
	}
	repo.PlainHTTP = true
	repo.Client = &auth.Client{
		Client: &http.Client{Transport: retry.NewTransport(reg.Transport())},
		Cache:  auth.NewCache(),
		Credential: func(context.Context, string) (auth.Credential, error) {
			return auth.Credential{Username: user.Username, Password: user.Password}, nil
		},
	}
	return repo, nil
}

var user = basic.Credentials{Username: "ci", Password: "secret"}

// secured returns the options of a registry that requires the user's credentials.
func secured(t *explore.T) []registrytest.Option {
	a := basic.Basic()
	if err := a.AddUser(user, "pull,push team/**"); err != nil {
		t.Fatalf("%v", err)
	}
	return []registrytest.Option{a}
}

func TestPush(t *testing.T) {
	everyFault(t, nothing, func(t *explore.T, reg *registrytest.Server) error {
		repo, err := repository(reg)
		if err != nil {
			return err
		}
		blob := bytes.Repeat([]byte("layer"), 1000)
		desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(blob), Size: int64(len(blob))}
		return repo.Push(t.Context(), desc, bytes.NewReader(blob))
	}, explore.Server(secured))
}

func TestPull(t *testing.T) {
	everyFault(t, seed, func(t *explore.T, reg *registrytest.Server) error {
		repo, err := repository(reg)
		if err != nil {
			return err
		}
		store := memory.New()
		opts := oras.DefaultCopyOptions
		opts.Concurrency = 1
		root, err := oras.Copy(t.Context(), repo, "v1", store, "v1", opts)
		if err != nil {
			return err
		}
		r, err := store.Fetch(t.Context(), root)
		if err != nil {
			return err
		}
		defer r.Close()
		content, err := io.ReadAll(r)
		t.Result("manifest", content)
		return err
	}, explore.Server(secured))
}
