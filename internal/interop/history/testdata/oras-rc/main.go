// Program oras-rc pulls or pushes an image with a release candidate of oras-go.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, action, image string) error {
	repo, err := remote.NewRepository(image)
	if err != nil {
		return err
	}
	repo.PlainHTTP = true
	repo.Client = &auth.Client{Cache: auth.NewCache(), Credential: func(_ context.Context, host string) (auth.Credential, error) {
		return auth.Credential{Username: os.Getenv("REGISTRY_USERNAME"), Password: os.Getenv("REGISTRY_PASSWORD")}, nil
	}}
	switch action {
	case "pull":
		_, r, err := repo.FetchReference(ctx, repo.Reference.Reference)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(io.Discard, r)
		return err
	case "push":
		text := "a layer"
		layer := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString(text), Size: int64(len(text))}
		if err := repo.Push(ctx, layer, struct{ io.Reader }{strings.NewReader(text)}); err != nil {
			return err
		}
		manifest, err := oras.Pack(ctx, repo, []ocispec.Descriptor{layer}, oras.PackOptions{})
		if err != nil {
			return err
		}
		return repo.Tag(ctx, manifest, repo.Reference.Reference)
	}
	return fmt.Errorf("no action is called %q", action)
}
