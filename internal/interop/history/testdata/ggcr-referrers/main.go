// Program ggcr-referrers lists referrers with go-containerregistry.
package main

import (
	"log"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
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
	// Old versions return the list, later ones an index that has yet to be read.
	if later, ok := any(index).(v1.ImageIndex); ok {
		_, err = later.IndexManifest()
	}
	return err
}
