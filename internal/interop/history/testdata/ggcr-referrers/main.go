// Program ggcr-referrers lists referrers with go-containerregistry.
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(image string) error {
	ref, err := name.ParseReference(image)
	if err != nil {
		return err
	}
	auth := remote.WithAuth(authn.Anonymous)
	if user := os.Getenv("REGISTRY_USERNAME"); user != "" {
		auth = remote.WithAuth(&authn.Basic{Username: user, Password: os.Getenv("REGISTRY_PASSWORD")})
	}
	subject, err := remote.Head(ref, auth)
	if err != nil {
		return err
	}
	index, err := remote.Referrers(ref.Context().Digest(subject.Digest.String()), auth)
	if err != nil {
		return err
	}
	list, err := index.IndexManifest()
	fmt.Println(list)
	return err
}
