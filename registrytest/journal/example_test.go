package journal_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/journal"
)

// A Journal can record the requests to a handler that is not in a
// registrytest.Server.
func ExampleJournal() {
	var j journal.Journal
	handler := j.Handler(registry.New(memstore.New(), registry.WithRecorder(&j)))
	server := httptest.NewServer(handler)
	defer server.Close()

	get(server.URL + "/v2/team/app/manifests/v1")

	r := j.Requests().First()
	fmt.Println(r.Op, r.Repo, r.Tag, r.Status, r.Errors[0].Code)
	fmt.Println(r)
	// Output:
	// get-manifest team/app v1 404 NAME_UNKNOWN
	// GET /v2/team/app/manifests/v1 404 NAME_UNKNOWN
}

func ExampleRequests() {
	requests := pull()

	fmt.Println("all:", requests.Len())
	fmt.Println("of the team, by tag:", requests.Repo("team/**").Tag("*").Len())
	fmt.Println("failed:", requests.Where((*journal.Record).Failed).Op(registry.GetManifest).Len())
	for i, r := range requests.Status(404).Records() {
		fmt.Println(i, r.Method, r.Repo)
	}
	// Output:
	// all: 3
	// of the team, by tag: 1
	// failed: 2
	// 0 GET team/app
	// 1 GET other
}

func ExampleRequests_CompareSequence() {
	err := pull().CompareSequence(registry.Ping, registry.HeadManifest, registry.GetManifest, registry.GetManifest)
	fmt.Println(err)
	// Output:
	// the requests are not the expected sequence of operations (- expected, + got):
	//   ping            #1 GET /v2/ 200
	// - head-manifest
	//   get-manifest    #2 GET /v2/team/app/manifests/v1 404 NAME_UNKNOWN
	//   get-manifest    #3 GET /v2/other/manifests/v2 404 NAME_UNKNOWN
}

// A golden file has all requests of a pull in a form that does not depend on
// the port and the time. Running the test with REGISTRYTEST_UPDATE=1 writes it.
func ExampleRequests_CheckGolden() {
	_ = func(t *testing.T) {
		requests := pull()
		requests.Sorted(registry.GetBlob).CheckGolden(t, "testdata/pull.golden")
	}
}

// pull sends the requests of a client that looks for an image in two places.
func pull() journal.Requests {
	var j journal.Journal
	server := httptest.NewServer(j.Handler(registry.New(memstore.New(), registry.WithRecorder(&j))))
	defer server.Close()
	get(server.URL + "/v2/")
	get(server.URL + "/v2/team/app/manifests/v1")
	get(server.URL + "/v2/other/manifests/v2")
	return j.Requests()
}

func get(url string) {
	resp, err := http.Get(url)
	if err != nil {
		panic(err)
	}
	resp.Body.Close()
}
