// Program cue-tags lists tags with package ociregistry/ociclient, in pages of three.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"

	"cuelabs.dev/go/oci/ociregistry/ociauth"
	"cuelabs.dev/go/oci/ociregistry/ociclient"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(image string) error {
	host, repo, _ := strings.Cut(image, "/")
	client, err := ociclient.New(host, &ociclient.Options{
		Insecure:     true,
		ListPageSize: 3,
		Transport:    ociauth.NewStdTransport(ociauth.StdTransportParams{Config: login{}, Transport: http.DefaultTransport}),
	})
	if err != nil {
		return err
	}
	seen := make(map[string]bool)
	for tag, err := range client.Tags(context.Background(), repo, "") {
		if err != nil {
			return err
		}
		if seen[tag] {
			return fmt.Errorf("tag %s is listed twice", tag)
		}
		seen[tag] = true
	}
	return nil
}

// login has the credentials for all registries.
type login struct{}

func (login) EntryForRegistry(string) (ociauth.ConfigEntry, error) {
	return ociauth.ConfigEntry{Username: os.Getenv("REGISTRY_USERNAME"), Password: os.Getenv("REGISTRY_PASSWORD")}, nil
}
