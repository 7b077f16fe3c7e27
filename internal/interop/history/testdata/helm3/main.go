// Program helm3 pushes a chart with Helm 3.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"log"
	"os"

	"helm.sh/helm/v3/pkg/registry"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(image string) error {
	options := []registry.ClientOption{registry.ClientOptWriter(io.Discard), registry.ClientOptPlainHTTP()}
	if user := os.Getenv("REGISTRY_USERNAME"); user != "" {
		options = append(options, registry.ClientOptBasicAuth(user, os.Getenv("REGISTRY_PASSWORD")))
	}
	client, err := registry.NewClient(options...)
	if err != nil {
		return err
	}
	_, err = client.Push(chart(), image)
	return err
}

// chart returns the archive of a chart app of version 1.2.3.
func chart() []byte {
	yaml := "apiVersion: v2\nname: app\nversion: 1.2.3\n"
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	w.WriteHeader(&tar.Header{Name: "app/Chart.yaml", Mode: 0o644, Size: int64(len(yaml))})
	io.WriteString(w, yaml)
	w.Close()
	z.Close()
	return b.Bytes()
}
