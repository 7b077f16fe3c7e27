package registrytest

import (
	"bytes"
	"fmt"
	"strings"
)

const (
	maxDiffLines = 20  // on either side
	maxDiffLine  = 160 // bytes
)

// diff returns the lines in which two manifests differ, from the first to the
// last, or "" if one of them is not known.
func diff(want, got []byte) string {
	if want == nil || got == nil {
		return ""
	}
	w, g := bytes.Split(want, []byte("\n")), bytes.Split(got, []byte("\n"))
	line := 1
	for len(w) > 0 && len(g) > 0 && bytes.Equal(w[0], g[0]) {
		w, g = w[1:], g[1:]
		line++
	}
	for len(w) > 0 && len(g) > 0 && bytes.Equal(w[len(w)-1], g[len(g)-1]) {
		w, g = w[:len(w)-1], g[:len(g)-1]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  from line %d on (- want, + got):\n", line)
	writeLines(&b, "  - ", w)
	writeLines(&b, "  + ", g)
	return b.String()
}

func writeLines(b *strings.Builder, prefix string, lines [][]byte) {
	for i, line := range lines {
		if i == maxDiffLines {
			fmt.Fprintf(b, "%s… %d more lines\n", prefix, len(lines)-i)
			return
		}
		if len(line) > maxDiffLine {
			line = append(line[:maxDiffLine:maxDiffLine], "…"...)
		}
		fmt.Fprintf(b, "%s%s\n", prefix, bytes.ToValidUTF8(line, []byte("\ufffd")))
	}
}
