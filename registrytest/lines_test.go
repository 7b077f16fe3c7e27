package registrytest_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/lint"
)

// failingTests are tests that fail. Each has a comment with a part of the failure's
// message, at the line that go test has to print with the failure.
var failingTests = map[string]func(t *testing.T){
	"nil option": func(t *testing.T) {
		registrytest.NewServer(t, nil) // want failure: an option is nil
	},
	"bad rule": func(t *testing.T) {
		registrytest.NewServer(t, auth.Basic("ci sing **")) // want failure: rule "ci sing **"
	},
	"option of a registry": func(t *testing.T) {
		registrytest.NewNetwork(t).Handle("a.test", nil, registrytest.WithBodies(1)) // want failure: WithBodies is for registries
	},
	"bad host": func(t *testing.T) {
		registrytest.NewNetwork(t).Registry("a.test:") // want failure: is not a host
	},
	"no TLS": func(t *testing.T) {
		registrytest.NewServer(t).CA() // want failure: without TLS
	},
	"push with a host": func(t *testing.T) {
		reg := registrytest.NewServer(t)
		reg.Push(t, reg.Ref("a:v1"), content.Image()) // want failure: leave out the host; Push takes "a:v1"
	},
	"push": func(t *testing.T) {
		registrytest.NewServer(t).Push(t, "UPPER:v1", content.Image()) // want failure: putting UPPER:v1
	},
	"panic": func(t *testing.T) {
		reg := registrytest.NewServer(t, middleware(func(*registry.Request) { panic("mistake") })) // want failure: panic while serving ping
		reg.Client().Get(reg.URL + "/v2/")
	},
	"panic before Close": func(t *testing.T) {
		reg := registrytest.NewServer(t, middleware(func(*registry.Request) { panic("mistake") }))
		reg.Client().Get(reg.URL + "/v2/")
		reg.Close() // want failure: panic while serving ping
	},
	"panic by name": func(t *testing.T) {
		n := registrytest.NewNetwork(t)
		n.Handle("a.test", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("mistake") })) // want failure: panic while serving
		n.Client().Get("http://a.test")
	},
	"hang": func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hang := hangUntilTheEnd(t)
			reg := registrytest.NewServer(t, registrytest.WithInMemory(), hang) // want failure: 127.0.0.1:1 hangs
			giveUp(reg)
		})
	},
	"hang before Stop": func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			reg := registrytest.NewServer(t, registrytest.WithInMemory(), middleware(func(*registry.Request) { <-release }))
			giveUp(reg)
			reg.Stop() // want failure: 127.0.0.1:1 hangs
			close(release)
		})
	},
	"leak": func(t *testing.T) {
		reg := registrytest.NewServer(t, middleware(func(*registry.Request) { go leakForTest(nil) })) // want failure: are still running
		reg.Client().Get(reg.URL + "/v2/")
	},
	"lint": func(t *testing.T) {
		reg := registrytest.NewServer(t, lint.Linter{Expect: []registry.Op{registry.GetBlob}}) // want failure: lint: request 1
		reg.Client().Get(reg.URL + "/v2/")
	},
	"fault": func(t *testing.T) {
		reg := registrytest.NewServer(t)
		reg.Fault(t, fault.On(registry.GetBlob).Status(503)) // want failure: did not happen
	},
	"gate": func(t *testing.T) {
		reg := registrytest.NewServer(t)
		reg.Hold(t, fault.On(registry.GetBlob)) // want failure: did not happen
	},
	"bad fault": func(t *testing.T) {
		registrytest.NewServer(t).Fault(t, fault.On(registry.GetBlob)) // want failure: it has no effect
	},
	"Silence": func(t *testing.T) {
		reg := registrytest.NewServer(t)
		reg.Silence(t) // want failure: no client connected
	},
	"dead name": func(t *testing.T) {
		n := registrytest.NewNetwork(t)
		n.Refuse(t, "registry.test") // want failure: refused 0 connections, not 1
	},
	"Silence of the first": func(t *testing.T) {
		reg := registrytest.NewServer(t)
		undo := reg.Silence(t, 2)
		undo() // want failure: was silent on 0 connections, not 2
	},
	"Refuse": func(t *testing.T) {
		reg := registrytest.NewServer(t, registrytest.WithInMemory())
		undo := reg.Refuse(t)
		undo() // want failure: no client connected
	},
	"Tamper": func(t *testing.T) {
		reg := registrytest.NewServer(t)
		app := reg.Push(t, "app:v1", content.Image())
		reg.Tamper(t, "app", app.Digest, registrytest.Dropped()) // want failure: had no effect
	},
	"Tamper with nothing": func(t *testing.T) {
		registrytest.NewServer(t).Tamper(t, "app", digest.FromString(""), registrytest.Dropped()) // want failure: tampering with
	},
	"closed too early": func(t *testing.T) {
		reg := registrytest.NewServer(t)
		defer reg.Close()
		t.Run("parallel", func(t *testing.T) {
			t.Parallel()
			reg.Fault(t, fault.On(registry.GetBlob).Status(503)) // want failure: they run after the deferred calls of their parent
		})
	},
}

// hangUntilTheEnd returns an option that lets no request end before the test does.
func hangUntilTheEnd(t *testing.T) registrytest.Option {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	return middleware(func(*registry.Request) { <-release })
}

// giveUp sends a request, and waits for the response only for a second.
func giveUp(reg *registrytest.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", reg.URL+"/v2/", nil)
	reg.Client().Do(r)
}

const failingEnv = "REGISTRYTEST_FAIL"

func TestFailing(t *testing.T) {
	if os.Getenv(failingEnv) == "" {
		t.Skip("TestFailuresHaveTheLineOfTheTest runs it")
	}
	for name, test := range failingTests {
		t.Run(name, test)
	}
}

// With every failure, go test prints the line of the user's test that caused it,
// and no line of package registrytest.
func TestFailuresHaveTheLineOfTheTest(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, "-test.run=^TestFailing$")
	cmd.Env = append(os.Environ(), failingEnv+"=1")
	out, err := cmd.CombinedOutput()
	require.Error(t, err)

	source, err := os.ReadFile("lines_test.go")
	require.NoError(t, err)
	wanted := make(map[string]string) // for each line, a part of the message there
	for i, line := range strings.Split(string(source), "\n") {
		if _, message, ok := strings.Cut(line, " // want failure"+": "); ok {
			wanted["lines_test.go:"+strconv.Itoa(i+1)] = message
		}
	}
	require.Len(t, wanted, len(failingTests))
	for _, m := range regexp.MustCompile(`(?m)^ +(\w+\.go:\d+): (.*)$`).FindAllStringSubmatch(string(out), -1) {
		at, message := m[1], m[2]
		if strings.HasPrefix(at, "testing.go:") { // In a bubble, go test prints no line of the user's test for a cleanup.
			at = regexp.MustCompile(`lines_test\.go:\d+|$`).FindString(message)
		}
		switch {
		case strings.HasPrefix(message, "registrytest: the requests to "), strings.HasPrefix(message, "registrytest: note that "):
			// A server logs these lines because its test has failed.
		case strings.Contains(message, wanted[at]) && wanted[at] != "":
			delete(wanted, at)
		default:
			t.Errorf("%s: %s", at, message)
		}
	}
	require.Empty(t, wanted, "%s", out)
}
