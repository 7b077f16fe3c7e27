package flatpak_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http/httptest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/flatpak"
)

func ExampleIndex() {
	store := memstore.New()
	if err := content.Put(context.Background(), store, "org.example.app:latest", content.Image()); err != nil {
		log.Fatal(err)
	}
	handler := registry.New(store, flatpak.Index())

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/index/static?tag=latest", nil))
	var index struct{ Results []struct{ Name string } }
	if err := json.Unmarshal(w.Body.Bytes(), &index); err != nil {
		log.Fatal(err)
	}
	fmt.Println(index.Results)
	// Output: [{org.example.app}]
}
