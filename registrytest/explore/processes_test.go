package explore

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// processes is the number of processes that TestSameInAllProcesses starts, but at least
// 3. If it is 0, they explore only samples of the faults, as with -short.
var processes = flag.Int("processes", 0, "make whole explorations in this many processes, and log the CPU time of each")

// matrixFile is the environment variable that names the file to which a process writes
// its matrices.
const matrixFile = "EXPLORE_MATRIX_FILE"

// The same seed gives the same matrices in several processes, although the order of
// maps and the number of processors differ between them.
func TestSameInAllProcesses(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	var first string
	for i := range max(*processes, 3) {
		file := filepath.Join(dir, fmt.Sprint(i))
		cmd := exec.Command(exe, "-test.run=^TestMatrices$", "-test.v", fmt.Sprintf("-test.short=%t", *processes == 0 || testing.Short()))
		cmd.Env = append(os.Environ(), matrixFile+"="+file, fmt.Sprintf("GOMAXPROCS=%d", 1+i%4))
		output, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", output)
		if *processes > 0 {
			t.Logf("%s", output)
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if i == 0 {
			first = string(text)
		}
		require.True(t, first == string(text), "process %d has a different matrix:\n%s\nwant\n%s", i, text, first)
	}
	require.Regexp(t, `"fault": "[^"]+ and [^"]+"`, first, "the matrices must contain a pair")
}

// TestMatrices writes the matrices of a pull and a push, in each of the processes of
// TestSameInAllProcesses. With -short, they are samples.
func TestMatrices(t *testing.T) {
	file := os.Getenv(matrixFile)
	if file == "" {
		t.Skip("TestSameInAllProcesses runs this")
	}
	budget := 1 << 20
	if testing.Short() {
		budget = 10
	}
	var all []*Matrix
	for _, name := range []string{"pull", "push"} {
		o, before := operations[name], cpuTime()
		m := EveryFault(t, o.setup, o.run(client{}), Budget(budget, 0))
		t.Logf("%s: %d runs, %v of CPU", name, m.Runs, (cpuTime() - before).Round(time.Millisecond))
		pairs := EveryFault(t, o.setup, o.run(client{}), Pairs(50), Budget(10, 0), Seed(5))
		for _, m := range []*Matrix{m, pairs} {
			m.Time = 0
			all = append(all, m)
		}
	}
	text, err := json.MarshalIndent(all, "", " ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o666))
}
