package fault_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/inject"
)

// failEnv is the environment variable that makes TestFailing run.
const failEnv = "REGISTRYTEST_FAULT_FAIL"

// TestFailing fails in every way in which this package fails a test. A comment at the
// end of a line has part of the message that go test has to report at that line.
func TestFailing(t *testing.T) {
	if os.Getenv(failEnv) == "" {
		t.Skip("TestFailuresAreReportedAtTheLine runs it")
	}
	never := fault.On(registry.GetBlob).Status(503)
	var rules inject.Rules
	t.Run("Server.Fault", func(t *testing.T) {
		reg := registrytest.NewServer(t)
		reg.Fault(t, never) // want failure: did not happen as it says
	})
	t.Run("Server.Hold", func(t *testing.T) {
		reg := registrytest.NewServer(t)
		reg.Hold(t, never) // want failure: did not happen as it says
	})
	t.Run("Rules.Set", func(t *testing.T) {
		rules.Set(t, never) // want failure: did not happen as it says
	})
	t.Run("Rules.Hold", func(t *testing.T) {
		rules.Hold(t, never) // want failure: did not happen as it says
	})
	t.Run("helper", func(t *testing.T) {
		set := func() {
			t.Helper()
			rules.Set(t, never)
		}
		set() // want failure: did not happen as it says
	})
	t.Run("option", func(t *testing.T) {
		in, err := rules.Add(never)
		require.NoError(t, err)
		registrytest.NewServer(t, registry.WithFaults(rules.Inject))
		in.Check(t) // want failure: did not happen as it says
	})
	t.Run("bad rule, Server.Fault", func(t *testing.T) {
		reg := registrytest.NewServer(t)
		reg.Fault(t, fault.On().Status(1)) // want failure: less than 200
	})
	t.Run("bad rule, Server.Hold", func(t *testing.T) {
		reg := registrytest.NewServer(t)
		reg.Hold(t, fault.On().Times(0)) // want failure: less than 1
	})
	t.Run("closed gate", func(t *testing.T) {
		reg := registrytest.NewServer(t)
		gate := reg.Hold(t, fault.On()) // want failure: was closed until the test ended
		go http.Get(reg.URL + "/v2/")
		<-gate.Entered()
		t.Fail()
	})
}

func TestFailuresAreReportedAtTheLine(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("line_test.go")
	require.NoError(t, err)
	var want []string
	for i, line := range strings.Split(string(source), "\n") {
		if _, sentence, ok := strings.Cut(line, " // want failure: "); ok && !strings.Contains(line, "Cut") {
			want = append(want, fmt.Sprintf("line_test.go:%d: %s", i+1, sentence))
		}
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestFailing$", "-test.v")
	cmd.Env = append(os.Environ(), failEnv+"=1")
	output, err := cmd.CombinedOutput()
	require.Error(t, err)
	reports := regexp.MustCompile(`(\w+\.go:\d+): fault: .*(did not happen as it says|less than \d+|was closed until the test ended)`)
	var got []string
	for _, m := range reports.FindAllStringSubmatch(string(output), -1) {
		got = append(got, m[1]+": "+m[2])
	}
	require.Equal(t, want, got, "%s", output)

	// The message names the line that set the rule: for a rule of an option, the line
	// that called Add.
	for i, line := range strings.Split(string(source), "\n") {
		if strings.HasSuffix(line, "rules.Add(never)") {
			require.Contains(t, string(output), fmt.Sprintf("set at line_test.go:%d, did not happen", i+1))
		}
	}

}
