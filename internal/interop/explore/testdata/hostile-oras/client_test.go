package client

import (
	"bytes"
	"context"
	"net/http"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/explore"
)

// The credentials of the client.
const user, password = "ci", "secret-of-ci"

func repository(reg *registrytest.Server) (*remote.Repository, error) {
	repo, err := remote.NewRepository(reg.Ref("team/app"))
	if err != nil {
		return nil, err
	}
	repo.Client = &auth.Client{
		Client: &http.Client{Transport: reg.Transport()},
		Cache:  auth.NewCache(),
		Credential: func(_ context.Context, host string) (auth.Credential, error) {
			if host != reg.Host() {
				return auth.EmptyCredential, nil
			}
			return auth.Credential{Username: user, Password: password}, nil
		},
	}
	return repo, nil
}

func TestPush(t *testing.T) {
	hostile(t, nothing, func(t *explore.T, reg *registrytest.Server) error {
		repo, err := repository(reg)
		if err != nil {
			return err
		}
		blob := bytes.Repeat([]byte("layer"), 1000)
		desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(blob), Size: int64(len(blob))}
		return repo.Push(t.Context(), desc, bytes.NewReader(blob))
	}, explore.Login(user, password))
}

func TestPull(t *testing.T) {
	hostile(t, seed, func(t *explore.T, reg *registrytest.Server) error {
		repo, err := repository(reg)
		if err != nil {
			return err
		}
		opts := oras.DefaultCopyOptions
		opts.Concurrency = 1
		root, err := oras.Copy(t.Context(), repo, "v1", memory.New(), "v1", opts)
		t.Result("digest", root.Digest)
		return err
	}, explore.Login(user, password))
}

func TestTags(t *testing.T) {
	hostile(t, seed, func(t *explore.T, reg *registrytest.Server) error {
		repo, err := repository(reg)
		if err != nil {
			return err
		}
		return repo.Tags(t.Context(), "", func([]string) error { return nil })
	}, explore.Login(user, password))
}
