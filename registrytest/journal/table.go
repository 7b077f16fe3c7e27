package journal

import (
	"fmt"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/internal/hint"
)

// maxRows is the largest number of requests in a table.
const maxRows = 100

// String returns a table of the requests for people to read. If there are more than
// 100 requests, the table has the last 100.
func (r Requests) String() string {
	if len(r.records) == 0 {
		return "no requests\n"
	}
	var b strings.Builder
	shown := r.records
	if before := len(shown) - maxRows; before > 0 {
		fmt.Fprintf(&b, "… %s before these\n", hint.Count(before, "request"))
		shown = shown[before:]
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "#\tconn\tat\ttook\top\trequest\tstatus\tin\tout\t")
	for _, record := range shown {
		target := longDigest.ReplaceAllString(record.target(), "$1…")
		took, status := roundTime(record.Duration).String(), record.status()
		if record.Ongoing {
			took, status = "…", "…"
		}
		fmt.Fprintf(w, "%d\t%d\t%v\t%s\t%v\t%s %s\t%s\t%d\t%d\t%s\n",
			record.Number, record.Conn, roundTime(record.Start.Sub(r.records[0].Start)), took,
			record.Op, record.Method, target, status, record.BytesIn, record.BytesOut, record.remarks())
	}
	w.Flush()
	return b.String()
}

// longDigest matches a digest, or the referrers tag for a digest. Its group is the
// beginning, which is long enough to distinguish digests.
var longDigest = regexp.MustCompile(`\b(sha[0-9]+[:-][0-9a-f]{12})[0-9a-f]{20,}`)

// remarks returns the notes of a request, and facts that differ between runs of a test
// and so are not in [Record.String].
func (r *Record) remarks() string {
	notes := r.notes()
	if r.Gone {
		notes = append(notes, "client gone")
	}
	if r.Err != nil {
		notes = append(notes, field.Printable(r.Err.Error()))
	}
	return strings.Join(notes, " ")
}

// roundTime rounds a duration to three significant digits.
func roundTime(d time.Duration) time.Duration {
	for unit := time.Duration(1); ; unit *= 10 {
		if d/1000 < unit { // The product 1000*unit could overflow.
			return d.Round(unit)
		}
	}
}
