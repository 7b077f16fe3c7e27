package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/hint"
)

// CompareSequence checks that the operations of the requests are exactly those wanted, in
// this order. If they are not, the error shows the difference.
func (r Requests) CompareSequence(want ...registry.Op) error {
	wanted := make([]string, len(want))
	for i, op := range want {
		wanted[i] = op.String()
	}
	got := make([]string, len(r.records))
	for i, record := range r.records {
		got[i] = record.Op.String()
	}
	difference := hint.Diff(wanted, got, func(i int) string {
		return fmt.Sprintf("%-14s  #%d %v", got[i], r.records[i].Number, r.records[i])
	})
	if difference != "" {
		return fmt.Errorf("the requests are not the expected sequence of operations (- expected, + got):\n%s", difference)
	}
	return nil
}

// CheckSequence fails the test unless the operations of the requests are exactly
// those wanted, in this order, see [Requests.CompareSequence].
func (r Requests) CheckSequence(t TB, want ...registry.Op) {
	hint.NilTest("journal", "Requests.CheckSequence", t)
	t.Helper()
	if err := r.CompareSequence(want...); err != nil {
		t.Errorf("journal: %v", err)
	}
}

// updateEnv names the environment variable that makes CompareGolden write files.
const updateEnv = "REGISTRYTEST_UPDATE"

// CompareGolden checks that the requests are those in the file, which has a line with the
// [Record.String] of each request. If they are not, the error shows the difference. A
// relative path is relative to the directory of the test; golden files are usually in
// testdata.
//
// If the environment variable REGISTRYTEST_UPDATE is not empty, CompareGolden writes
// the file instead.
func (r Requests) CompareGolden(file string) error {
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
			return fmt.Errorf("writing golden file: %w", err)
		}
		return nil
	}
	content, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("golden file %s does not exist; set %s=1 to write it with these requests:\n%s", file, updateEnv, joinLines(got))
	case err != nil:
		return fmt.Errorf("reading golden file: %w", err)
	}
	difference := hint.Diff(splitLines(content), got, func(i int) string { return got[i] })
	if difference != "" {
		return fmt.Errorf("the requests are not those in %s (- in the file, + got); set %s=1 to write these to it:\n%s", file, updateEnv, difference)
	}
	return nil
}

// CheckGolden fails the test unless the requests are those in the file, see
// [Requests.CompareGolden].
func (r Requests) CheckGolden(t TB, file string) {
	hint.NilTest("journal", "Requests.CheckGolden", t)
	t.Helper()
	if err := r.CompareGolden(file); err != nil {
		t.Errorf("journal: %v", err)
	} else if os.Getenv(updateEnv) != "" {
		t.Logf("journal: wrote %s to %s", hint.Count(len(r.records), "request"), file)
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

// splitLines is the inverse of joinLines. It also accepts the line ends of Windows,
// because version control systems there may change the line ends of a golden file.
func splitLines(text []byte) []string {
	s := strings.TrimSuffix(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}
