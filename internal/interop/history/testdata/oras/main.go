// Program oras lists referrers with oras-go.
package main

import (
	"context"
	"log"
	"os"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, image string) error {
	repo, err := remote.NewRepository(image)
	if err != nil {
		return err
	}
	repo.PlainHTTP = true
	repo.Client = &auth.Client{Cache: auth.NewCache(), Credential: func(_ context.Context, host string) (auth.Credential, error) {
		return auth.Credential{Username: os.Getenv("REGISTRY_USERNAME"), Password: os.Getenv("REGISTRY_PASSWORD")}, nil
	}}
	subject, err := repo.Resolve(ctx, repo.Reference.Reference)
	if err != nil {
		return err
	}
	return repo.Referrers(ctx, subject, "", func([]ocispec.Descriptor) error { return nil })
}
