// Program containerd2 pulls an image with containerd 2.x. With a second argument,
// it fetches blobs in several parts at once.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/transfer"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, image string) error {
	login := func(string) (string, string, error) {
		return os.Getenv("REGISTRY_USERNAME"), os.Getenv("REGISTRY_PASSWORD"), nil
	}
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(
		docker.WithPlainHTTP(docker.MatchLocalhost),
		docker.WithAuthorizer(docker.NewDockerAuthorizer(docker.WithAuthCreds(login))),
	)})
	if len(os.Args) > 2 {
		resolver.(remotes.ResolverWithOptions).SetOptions(
			transfer.WithMaxConcurrentDownloads(4),
			transfer.WithConcurrentLayerFetchBuffer(30_000),
		)
	}
	name, desc, err := resolver.Resolve(ctx, image)
	if err != nil {
		return err
	}
	fetcher, err := resolver.Fetcher(ctx, name)
	if err != nil {
		return err
	}
	text, err := fetch(ctx, fetcher, desc)
	if err != nil {
		return err
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(text, &manifest); err != nil {
		return err
	}
	for _, layer := range manifest.Layers {
		if _, err := fetch(ctx, fetcher, layer); err != nil {
			return err
		}
	}
	return nil
}

func fetch(ctx context.Context, fetcher remotes.Fetcher, desc ocispec.Descriptor) ([]byte, error) {
	r, err := fetcher.Fetch(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if got := desc.Digest.Algorithm().FromBytes(content); got != desc.Digest {
		return nil, fmt.Errorf("the content of %s has %d bytes of %d, and the digest %s", desc.Digest, len(content), desc.Size, got)
	}
	return content, nil
}
