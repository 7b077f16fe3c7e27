package upstream_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/upstream"
)

// The journal of the proxy has the requests that a client sends to a real registry.
func ExampleNewProxy() {
	behind, err := registrytest.StartServer() // in place of https://registry.example.com
	if err != nil {
		log.Fatal(err)
	}
	defer behind.Close()
	if err := content.Put(context.Background(), behind.Store, "team/app:v1", content.Image()); err != nil {
		log.Fatal(err)
	}
	reg, err := registrytest.StartServer(upstream.NewProxy(behind.URL))
	if err != nil {
		log.Fatal(err)
	}
	defer reg.Close()

	resp, err := reg.Client().Get(reg.URL + "/v2/team/app/manifests/v1")
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	for _, r := range reg.Requests().Records() {
		fmt.Println(r)
	}
	// Output:
	// 200 OK
	// GET /v2/team/app/manifests/v1 200
}

// A store fetches an image once, and then serves it without the upstream.
func ExampleOpen() {
	hub, err := registrytest.StartServer() // in place of Docker Hub
	if err != nil {
		log.Fatal(err)
	}
	if err := content.Put(context.Background(), hub.Store, "library/alpine:3", content.Image()); err != nil {
		log.Fatal(err)
	}
	store, err := upstream.Open(memstore.New(), upstream.Remote("docker.io", upstream.At(hub.URL)))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	reg, err := registrytest.StartServer(store)
	if err != nil {
		log.Fatal(err)
	}
	defer reg.Close()

	pull := func() {
		resp, err := reg.Client().Get(reg.URL + "/v2/library/alpine/manifests/3")
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
	}
	pull()
	hub.Close()
	pull()
	// Output:
	// 200 OK
	// 200 OK
}
