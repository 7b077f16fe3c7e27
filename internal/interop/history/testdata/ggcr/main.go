// Program ggcr performs an action, such as push, with go-containerregistry.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		log.Fatal(err)
	}
}

func run(action, image string, args []string) error {
	ref, err := name.ParseReference(image)
	if err != nil {
		return err
	}
	auth := remote.WithAuth(authn.Anonymous)
	if user := os.Getenv("REGISTRY_USERNAME"); user != "" {
		auth = remote.WithAuth(&authn.Basic{Username: user, Password: os.Getenv("REGISTRY_PASSWORD")})
	}
	switch action {
	case "catalog":
		names, err := remote.Catalog(context.Background(), ref.Context().Registry, auth)
		fmt.Println(names)
		return err
	case "push":
		made, err := random.Image(100, 1)
		if err != nil {
			return err
		}
		return remote.Write(ref, made, auth)
	case "copy": // from the reference in args, without credentials
		from, err := name.ParseReference(args[0])
		if err != nil {
			return err
		}
		source, err := remote.Image(from)
		if err != nil {
			return err
		}
		return remote.Write(ref, source, auth)
	case "mount": // from the reference in args, with credentials
		from, err := name.ParseReference(args[0])
		if err != nil {
			return err
		}
		source, err := remote.Image(from, auth)
		if err != nil {
			return err
		}
		return remote.Write(ref, source, auth)
	case "pull":
		pulled, err := remote.Image(ref, auth)
		if err != nil {
			return err
		}
		return read(pulled)
	case "layer": // the first one, by its digest
		pulled, err := remote.Image(ref, auth)
		if err != nil {
			return err
		}
		manifest, err := pulled.Manifest()
		if err != nil {
			return err
		}
		layer, err := remote.Layer(ref.Context().Digest(manifest.Layers[0].Digest.String()), auth)
		if err != nil {
			return err
		}
		content, err := layer.Compressed()
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, content)
		return err
	}
	return fmt.Errorf("no action is called %q", action)
}

// read reads the layers.
func read(image v1.Image) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		content, err := l.Compressed()
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, content)
		if err != nil {
			return err
		}
		if size, err := l.Size(); err != nil || size != n {
			return fmt.Errorf("%d bytes of %d: %v", n, size, err)
		}
	}
	return nil
}
