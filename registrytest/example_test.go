package registrytest_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
)

// t stands for the *testing.T of a test. All examples share it, and TestMain ends it
// after the last example.
var t = exampleTest{faketb.New(nil)}

type exampleTest struct{ *faketb.TB }

func (exampleTest) Name() string        { return "Example" }
func (t exampleTest) Error(args ...any) { t.Errorf("%s", fmt.Sprint(args...)) }

func TestMain(m *testing.M) {
	code := m.Run()
	t.End()
	for _, failure := range t.Errors() {
		fmt.Fprintln(os.Stderr, "an example fails:", failure)
		code = 1
	}
	os.Exit(code)
}

// The client under test, pullManifest, retries until the registry is available.
func ExampleNewServer() {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "team/app:v1", content.Image())
	reg.Fault(t, fault.On(registry.GetManifest).Times(2).Status(503).RetryAfter(0))

	got, err := pullManifest(reg.Client(), reg.URL+"/v2/team/app/manifests/v1")
	if err != nil || got != app.Digest {
		t.Errorf("got %s, %v", got, err)
	}
	fmt.Println(reg.Requests().Op(registry.GetManifest).Len(), "requests")
	// Output:
	// 3 requests
}

// A rule names the requests that fail. It counts them, and the test fails if there
// were too few.
func ExampleServer_Fault() {
	reg := registrytest.NewServer(t)
	reg.Push(t, "team/app:v1", content.Image())
	f := reg.Fault(t, fault.On(registry.GetManifest).Repo("team/*").Times(2).Status(429).RetryAfter(0))

	if _, err := pullManifest(reg.Client(), reg.URL+"/v2/team/app/manifests/v1"); err != nil {
		t.Error(err)
	}
	fmt.Printf("%q has hit %d requests\n", f, f.Fired())
	// Output:
	// "get-manifest repo=team/* times=2 status=429 retry-after=0" has hit 2 requests
}

// A tag moves while the request of the client waits at a gate.
func ExampleServer_Hold() {
	reg := registrytest.NewServer(t)
	reg.Push(t, "team/app:v1", content.Image())
	gate := reg.Hold(t, fault.On(registry.GetManifest))

	done := make(chan digest.Digest)
	go func() {
		got, err := pullManifest(reg.Client(), reg.URL+"/v2/team/app/manifests/v1")
		if err != nil {
			t.Error(err)
		}
		done <- got
	}()
	fmt.Println(<-gate.Entered(), "waits")
	moved := reg.Push(t, "team/app:v1", content.Image(content.Layers(2)))
	gate.Release()
	fmt.Println(<-done == moved.Digest)
	// Output:
	// get-manifest team/app:v1 waits
	// true
}

// The journal has every request. Its methods select some of them.
func ExampleServer_Requests() {
	reg := registrytest.NewServer(t)
	reg.Push(t, "team/app:v1", content.Image())

	for _, tag := range []string{"v1", "v2"} {
		if _, err := pullManifest(reg.Client(), reg.URL+"/v2/team/app/manifests/"+tag); err != nil {
			fmt.Println(err)
		}
	}
	for _, r := range reg.Requests().Records() {
		fmt.Println(r)
	}
	fmt.Println(reg.Requests().Repo("team/**").Status(404).First().Tag)
	// Output:
	// pulling /v2/team/app/manifests/v2: 404 Not Found
	// GET /v2/team/app/manifests/v1 200
	// GET /v2/team/app/manifests/v2 404 MANIFEST_UNKNOWN
	// v2
}

// A client that does not compare the bytes of a manifest with its digest accepts
// damaged bytes.
func ExampleServer_Tamper() {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "team/app:v1", content.Image())
	undo := reg.Tamper(t, "team/app", app.Digest, registrytest.BitFlipped(0))

	for range 2 {
		got, err := pullManifest(reg.Client(), reg.URL+"/v2/team/app/manifests/"+app.Digest.String())
		fmt.Println(got == app.Digest, err)
		undo()
	}
	// Output:
	// false <nil>
	// true <nil>
}

// The server refuses connections between Stop and Start. Its content stays.
func ExampleServer_Stop() {
	reg := registrytest.NewServer(t)
	reg.Push(t, "team/app:v1", content.Image())

	reg.Stop()
	_, err := pullManifest(reg.Client(), reg.URL+"/v2/team/app/manifests/v1")
	fmt.Println("while it is down:", err != nil)

	reg.Start()
	_, err = pullManifest(reg.Client(), reg.URL+"/v2/team/app/manifests/v1")
	fmt.Println("later:", err)
	// Output:
	// while it is down: true
	// later: <nil>
}

// A client of a network reaches two registries by their host names: a mirror, which
// does not have the image yet, and the origin.
func ExampleNewNetwork() {
	network := registrytest.NewNetwork(t)
	origin, mirror := network.Registry("docker.io"), network.Registry("mirror.example.com")
	alpine := origin.Push(t, "library/alpine:3", content.Image())

	_, err := pullManifest(network.Client(), "https://mirror.example.com/v2/library/alpine/manifests/3")
	fmt.Println(err)
	got, err := pullManifest(network.Client(), "https://docker.io/v2/library/alpine/manifests/3")
	fmt.Println(got == alpine.Digest, err)
	fmt.Println(mirror.Requests().Len(), origin.Requests().Len())
	// Output:
	// pulling /v2/library/alpine/manifests/3: 404 Not Found
	// true <nil>
	// 1 1
}

// The server's own client trusts the certificate, unless it has expired. Other clients
// do not trust it.
func ExampleWithTLS() {
	reg := registrytest.NewServer(t, registrytest.WithTLS())
	expired := registrytest.NewServer(t, registrytest.WithTLS(registrytest.ExpiredCert))

	_, err := reg.Client().Head(reg.URL + "/v2/")
	fmt.Println(err)
	_, err = http.Head(reg.URL + "/v2/")
	fmt.Println("another client:", err != nil)
	_, err = expired.Client().Head(expired.URL + "/v2/")
	fmt.Println("expired:", err != nil)
	// Output:
	// <nil>
	// another client: true
	// expired: true
}

// In a bubble of package synctest, a client that waits for five minutes in all waits
// exactly that long, and the test takes no time.
func ExampleWithInMemory() {
	_ = func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			reg := registrytest.NewServer(t, registrytest.WithInMemory())
			reg.Push(t, "team/app:v1", content.Image())
			reg.Fault(t, fault.On(registry.GetManifest).Times(2).Status(503).RetryAfter(150*time.Second))
			start := time.Now()

			if _, err := pullManifest(reg.Client(), reg.URL+"/v2/team/app/manifests/v1"); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(start); got != 5*time.Minute {
				t.Errorf("the client waited for %v, want 5m0s", got)
			}
		})
	}
}

// pullManifest stands for the code of a project. It gets a manifest, and retries as
// long as the response has a Retry-After.
func pullManifest(c *http.Client, url string) (digest.Digest, error) {
	for {
		resp, err := c.Get(url)
		if err != nil {
			return "", err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		wait, retry := strconv.Atoi(resp.Header.Get("Retry-After"))
		switch {
		case err != nil:
			return "", err
		case resp.StatusCode == http.StatusOK:
			return digest.FromBytes(body), nil
		case retry != nil:
			return "", fmt.Errorf("pulling %s: %s", resp.Request.URL.Path, resp.Status)
		}
		time.Sleep(time.Duration(wait) * time.Second)
	}
}
