// Program imgutil makes an image with imgutil.
package main

import (
	"log"
	"os"

	"github.com/buildpacks/imgutil/remote"
	"github.com/google/go-containerregistry/pkg/authn"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(image string) error {
	made, err := remote.NewImage(image, keychain{}, remote.FromBaseImage(image))
	if err != nil {
		return err
	}
	return made.Save()
}

// keychain has the credentials for all registries.
type keychain struct{}

func (keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	if os.Getenv("REGISTRY_USERNAME") == "" {
		return authn.Anonymous, nil
	}
	return &authn.Basic{Username: os.Getenv("REGISTRY_USERNAME"), Password: os.Getenv("REGISTRY_PASSWORD")}, nil
}
