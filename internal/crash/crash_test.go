package crash

import (
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	switch os.Getenv("CRASH_TEST") {
	case "panic":
		panic("no such index")
	case "fatal":
		new(sync.Mutex).Unlock()
	case "stack":
		println("goroutine 1 [running]:")
		os.Exit(1)
	case "fail":
		println("panic: at the registry")
		os.Exit(2)
	case "succeed":
		println("panic: caught\n\ngoroutine 1 [running]:")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A panic is a crash. A failure without a panic is none, and neither is a success
// with the output of a panic.
func TestGo(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	require.NoError(t, err)
	for program, want := range map[string]string{
		"panic":   "it printed a panic: panic: no such index",
		"fatal":   "it printed a panic: fatal error: sync: unlock of unlocked mutex",
		"stack":   "",
		"fail":    "",
		"succeed": "",
	} {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), "CRASH_TEST="+program)
		output, _ := cmd.CombinedOutput()
		require.Equal(t, want, Of(cmd.ProcessState, string(output), false), "%s: %s", program, output)
	}
	require.Empty(t, Of(nil, "", false))
}

// A signal is a crash, unless the caller may have sent it. So is the exit code of a
// shell whose command a fatal signal ended.
func TestSignals(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("sh"); err != nil || runtime.GOOS == "windows" {
		t.Skip("needs sh and signals")
	}
	for _, c := range []struct {
		script  string
		stopped bool
		want    string
	}{
		{"kill -SEGV $$", false, "it was ended by a signal: segmentation fault"},
		{"kill -SEGV $$", true, "it was ended by a signal: segmentation fault"},
		{"kill -KILL $$", false, "it was ended by a signal: killed"},
		{"kill -KILL $$", true, ""},
		{"exit 139", false, "it was ended by signal 11 (exit code 139)"},
		{"exit 137", false, ""},
		{"exit 1", false, ""},
		{"exit 0", false, ""},
	} {
		cmd := exec.Command("sh", "-c", c.script)
		output, _ := cmd.CombinedOutput()
		require.Equal(t, c.want, Of(cmd.ProcessState, string(output), c.stopped), "%s: %s", c.script, output)
	}
}
