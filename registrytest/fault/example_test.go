package fault_test

import (
	"fmt"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/fault"
)

func ExampleParse() {
	rule, err := fault.Parse(`get-blob,head-blob repo=team/* after=1 status=404 message="it was here"`)
	fmt.Println(rule, err)
	_, err = fault.Parse("get-blob status=503 reset")
	fmt.Println(err)
	// Output:
	// get-blob,head-blob repo=team/* after=1 status=404 message="it was here" <nil>
	// fault rule "get-blob status=503 reset": a rule cannot respond to a request and also end its connection in place of a response
}

func ExampleRule() {
	beginning := fault.On(registry.GetBlob).Repo("team/**", "base").Times(2)
	fmt.Println(beginning.Status(503).RetryAfter(3 * time.Second).Body(fault.HTML))
	fmt.Println(beginning.Close(fault.AtByte(-1)))
	fmt.Println(beginning.Status(307).Location("https://cdn.example.com"))
	// Output:
	// get-blob repo=team/**,base times=2 status=503 retry-after=3 body=html
	// get-blob repo=team/**,base times=2 close=-1
	// get-blob repo=team/**,base times=2 status=307 location=https://cdn.example.com
}
