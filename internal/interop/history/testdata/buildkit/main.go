// Program buildkit pushes an index with BuildKit: an image, an attestation of it,
// an attestation of that, and so on. BuildKit reads the children of an index
// concurrently. It is unlikely to push so many of them in a valid order by chance.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log"
	"os"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/util/push"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, image string) error {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store, err := local.NewLabeledStore(dir, labels{})
	if err != nil {
		return err
	}
	var failed error
	add := func(mediaType string, value any) ocispec.Descriptor {
		text, err := json.Marshal(value)
		if err == nil {
			desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
			err = content.WriteBlob(ctx, store, desc.Digest.String(), bytes.NewReader(text), desc)
			if err == nil {
				return desc
			}
		}
		failed = err
		return ocispec.Descriptor{}
	}
	config := add(ocispec.MediaTypeImageConfig, map[string]any{"architecture": "amd64", "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": []string{}}})
	app := add(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{},
	})
	manifests := []ocispec.Descriptor{app}
	for range 6 {
		subject := manifests[len(manifests)-1]
		manifests = append(manifests, add(ocispec.MediaTypeImageManifest, ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{}, Subject: &subject,
		}))
	}
	mixed := []ocispec.Descriptor{manifests[2], manifests[0], manifests[4], manifests[1], manifests[6], manifests[3], manifests[5]}
	index := add(ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: mixed,
	})
	if failed != nil {
		return failed
	}

	login := func(string) (string, string, error) {
		return os.Getenv("REGISTRY_USERNAME"), os.Getenv("REGISTRY_PASSWORD"), nil
	}
	hosts := docker.ConfigureDefaultRegistries(
		docker.WithPlainHTTP(docker.MatchLocalhost),
		docker.WithAuthorizer(docker.NewDockerAuthorizer(docker.WithAuthCreds(login))),
	)
	sessions, err := session.NewManager()
	if err != nil {
		return err
	}
	return push.Push(ctx, sessions, "", store, store, index.Digest, image, false, hosts, false, nil)
}

// labels is a store of labels that keeps none.
type labels struct{}

func (labels) Get(digest.Digest) (map[string]string, error)                           { return nil, nil }
func (labels) Set(digest.Digest, map[string]string) error                             { return nil }
func (labels) Update(_ digest.Digest, l map[string]string) (map[string]string, error) { return l, nil }
