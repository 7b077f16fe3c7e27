package journal

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ocireg/registry/internal/linediff"
)

// updateEnv is the environment variable that has golden files written.
const updateEnv = "REGISTRYTEST_UPDATE"

// CheckGolden checks that the requests are those in a golden file, which has
// the [Record.String] of each in a line of its own. The path is relative to
// the directory of the test, and usually begins with testdata.
//
// If the environment variable REGISTRYTEST_UPDATE is set, to anything but "",
// the file is written instead.
func (r Requests) CheckGolden(t TB, file string) {
	t.Helper()
	got := make([]string, len(r.records))
	for i, record := range r.records {
		got[i] = record.String()
	}
	if os.Getenv(updateEnv) != "" {
		err := os.MkdirAll(filepath.Dir(file), 0o777)
		if err == nil {
			err = os.WriteFile(file, joinLines(got), 0o666)
		}
		if err != nil {
			t.Errorf("writing golden requests: %v", err)
			return
		}
		t.Logf("%d requests written to %s", len(got), file)
		return
	}
	content, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.Errorf("there is no golden file %s; set %s=1 to write it with these requests:\n%s", file, updateEnv, joinLines(got))
		return
	case err != nil:
		t.Errorf("reading golden requests: %v", err)
		return
	}
	difference := linediff.Lines(splitLines(content), got, func(i int) string { return got[i] })
	if difference != "" {
		t.Errorf("requests are not those in %s (- in the file, + got); set %s=1 to write what was got:\n%s", file, updateEnv, difference)
	}
}

func joinLines(lines []string) []byte {
	var b bytes.Buffer
	for _, line := range lines {
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// splitLines is the reverse of joinLines. Some version control systems change
// the ends of lines.
func splitLines(text []byte) []string {
	s := strings.TrimSuffix(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}
