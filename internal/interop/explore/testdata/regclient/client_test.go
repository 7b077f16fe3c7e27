package client

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/regclient/regclient"
	"github.com/regclient/regclient/config"
	"github.com/regclient/regclient/scheme/reg"
	"github.com/regclient/regclient/types"
	"github.com/regclient/regclient/types/manifest"
	"github.com/regclient/regclient/types/ref"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/explore"
)

func client(server *registrytest.Server) *regclient.RegClient {
	host := config.HostNewName(server.Host())
	host.TLS = config.TLSDisabled
	return regclient.New(regclient.WithConfigHosts([]config.Host{*host}),
		regclient.WithRegOpts(reg.WithTransport(server.Transport()), reg.WithBlobSize(2000, 2000)))
}

// A blob is pushed in chunks.
func TestPush(t *testing.T) {
	everyFault(t, nothing, func(t *explore.T, server *registrytest.Server) error {
		target, err := ref.New(server.Ref("team/app"))
		if err != nil {
			return err
		}
		blob := bytes.Repeat([]byte("layer"), 1000)
		_, err = client(server).BlobPut(t.Context(), target, types.Descriptor{Digest: digest.FromBytes(blob), Size: int64(len(blob))}, bytes.NewReader(blob))
		return err
	})
}

func TestPull(t *testing.T) {
	everyFault(t, seed, func(t *explore.T, server *registrytest.Server) error {
		source, err := ref.New(server.Ref("team/app:v1"))
		if err != nil {
			return err
		}
		c := client(server)
		m, err := c.ManifestGet(t.Context(), source)
		if err != nil {
			return err
		}
		raw, err := m.RawBody()
		if err != nil {
			return err
		}
		t.Result("manifest", raw)
		layers, err := m.(manifest.Imager).GetLayers()
		if err != nil {
			return err
		}
		r, err := c.BlobGet(t.Context(), source, layers[0])
		if err != nil {
			return err
		}
		content, err := io.ReadAll(r)
		t.Result("layer", content)
		return errors.Join(err, r.Close())
	})
}
