package fault_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/fault"
)

func ExampleRules() {
	var faults fault.Rules
	server := httptest.NewServer(registry.New(memstore.New(), registry.WithFaults(faults.Inject)))
	defer server.Close()

	rule := fault.On(registry.Ping).Times(2).Status(503).Then().Once().Status(429).RetryAfter(3 * time.Second)
	in, err := faults.Add(rule)
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 4 {
		resp, err := http.Get(server.URL + "/v2/")
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Printf("%d, Retry-After: %q\n", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	fmt.Println(in, "has hit", in.Fired())
	// Output:
	// 503, Retry-After: ""
	// 503, Retry-After: ""
	// 429, Retry-After: "3"
	// 200, Retry-After: ""
	// ping times=2 status=503 then once status=429 retry-after=3 has hit 3
}

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

func ExampleGate() {
	var rules fault.Rules
	server := httptest.NewServer(registry.New(memstore.New(), registry.WithFaults(rules.Inject)))
	defer server.Close()

	gate, err := rules.Gate(fault.On(registry.Ping))
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan string)
	go func() {
		resp, err := http.Get(server.URL + "/v2/")
		if err != nil {
			done <- err.Error()
			return
		}
		resp.Body.Close()
		done <- resp.Status
	}()
	fmt.Println(<-gate.Entered(), "waits")
	gate.Release()
	fmt.Println(<-done)
	// Output:
	// ping waits
	// 200 OK
}
