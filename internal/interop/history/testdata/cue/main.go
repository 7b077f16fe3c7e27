// Program cue reads a tag with package ociregistry/ociclient.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"

	"cuelabs.dev/go/oci/ociregistry/ociclient"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(image string) error {
	http.DefaultTransport = login{http.DefaultTransport}
	host, rest, _ := strings.Cut(image, "/")
	repo, tag, _ := strings.Cut(rest, ":")
	client, err := ociclient.New(host, &ociclient.Options{Insecure: true})
	if err != nil {
		return err
	}
	r, err := client.GetTag(context.Background(), repo, tag)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	fmt.Println(r.Descriptor().Digest)
	return err
}

// login sends the credentials to the registry.
type login struct{ http.RoundTripper }

func (l login) RoundTrip(r *http.Request) (*http.Response, error) {
	if user := os.Getenv("REGISTRY_USERNAME"); user != "" && r.URL.Hostname() == "127.0.0.1" {
		r = r.Clone(r.Context())
		r.SetBasicAuth(user, os.Getenv("REGISTRY_PASSWORD"))
	}
	return l.RoundTripper.RoundTrip(r)
}
