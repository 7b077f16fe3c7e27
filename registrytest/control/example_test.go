package control_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/control"
)

// A client of the API, which may be a test in any language, sets a fault.
func ExampleNew() {
	c, err := control.New(control.Config{})
	if err != nil {
		log.Fatal(err)
	}
	reg, err := registrytest.StartServer(c)
	if err != nil {
		log.Fatal(err)
	}
	defer reg.Close()
	api := httptest.NewServer(c.Handler(reg))
	defer api.Close()

	req, err := http.NewRequest("POST", api.URL+"/v1/faults", strings.NewReader("ping status=503"))
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token())
	resp, err := api.Client().Do(req)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)

	resp, err = reg.Client().Get(reg.URL + "/v2/")
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// 201 Created
	// 503 Service Unavailable
}
