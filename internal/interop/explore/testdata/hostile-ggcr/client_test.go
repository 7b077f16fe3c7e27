package client

import (
	"io"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/explore"
)

// The credentials of the client.
const user, password = "ci", "secret-of-ci"

func options(t *explore.T, reg *registrytest.Server) []remote.Option {
	return []remote.Option{
		remote.WithTransport(reg.Transport()), remote.WithContext(t.Context()), remote.WithJobs(1),
		remote.WithAuth(&authn.Basic{Username: user, Password: password}),
	}
}

func TestPull(t *testing.T) {
	hostile(t, seed, func(t *explore.T, reg *registrytest.Server) error {
		ref, err := name.ParseReference(reg.Ref("team/app:v1"))
		if err != nil {
			return err
		}
		img, err := remote.Image(ref, options(t, reg)...)
		if err != nil {
			return err
		}
		d, err := img.Digest()
		if err != nil {
			return err
		}
		t.Result("digest", d)
		if _, err := img.RawConfigFile(); err != nil {
			return err
		}
		layers, err := img.Layers()
		if err != nil {
			return err
		}
		for _, layer := range layers {
			r, err := layer.Compressed()
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, r)
			if closing := r.Close(); err == nil {
				err = closing
			}
			if err != nil {
				return err
			}
		}
		return nil
	}, explore.Login(user, password))
}

func TestTags(t *testing.T) {
	hostile(t, seed, func(t *explore.T, reg *registrytest.Server) error {
		repo, err := name.NewRepository(reg.Ref("team/app"))
		if err != nil {
			return err
		}
		_, err = remote.List(repo, options(t, reg)...)
		return err
	}, explore.Login(user, password))
}
