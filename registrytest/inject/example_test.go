package inject_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/inject"
)

func ExampleRules() {
	var faults inject.Rules
	server := httptest.NewServer(registry.New(memstore.New(), registry.WithFaults(faults.Inject)))
	defer server.Close()

	rule := fault.On(registry.Ping).Times(2).Status(503).Then().Once().Status(429).RetryAfter(3 * time.Second)
	f, err := faults.Add(rule)
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
	fmt.Println(f, "has hit", f.Fired())
	// Output:
	// 503, Retry-After: ""
	// 503, Retry-After: ""
	// 429, Retry-After: "3"
	// 200, Retry-After: ""
	// ping times=2 status=503 then once status=429 retry-after=3 has hit 3
}

func ExampleGate() {
	var rules inject.Rules
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
