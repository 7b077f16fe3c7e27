package journal

import (
	"context"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/glob"
	"github.com/ocireg/registry/internal/linediff"
)

// Requests are requests of a [Journal] until some moment, in the order of
// their arrival: all of them, or those that one or more of its methods have
// chosen.
//
//	reg.Requests().Op(registry.GetBlob).Repo("team/*").Status(206).Len()
//
// Requests do not change. To see what has come since, begin anew or use
// [Requests.WaitFor].
type Requests struct {
	journal *Journal
	steps   []func([]*Record) []*Record // how to choose them from all
	records []*Record
}

// NewRequests returns the records as requests that belong to no journal.
func NewRequests(records ...*Record) Requests { return Requests{records: records} }

// then returns the requests after one more step.
func (r Requests) then(step func([]*Record) []*Record) Requests {
	return Requests{r.journal, append(slices.Clip(r.steps), step), step(r.records)}
}

// Where returns the requests that keep is true for. It may be called again
// later, for others.
func (r Requests) Where(keep func(*Record) bool) Requests {
	return r.then(func(all []*Record) (kept []*Record) {
		for _, record := range all {
			if keep(record) {
				kept = append(kept, record)
			}
		}
		return kept
	})
}

// Op returns the requests for any of the operations.
func (r Requests) Op(ops ...registry.Op) Requests {
	return r.Where(func(record *Record) bool { return slices.Contains(ops, record.Op) })
}

// Repo returns the requests on repositories whose name any of the patterns
// matches. In these, * stands for any characters but a slash, ? for one of
// them, and ** for any characters: "team/*" matches team/app, and "team/**"
// team/app/base too.
func (r Requests) Repo(patterns ...string) Requests {
	return r.Where(func(record *Record) bool { return record.Repo != "" && matchAny(patterns, record.Repo) })
}

func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return glob.Match(p, name) })
}

// Tag returns the requests that name a manifest by a tag that any of the
// patterns matches, see [Requests.Repo].
func (r Requests) Tag(patterns ...string) Requests {
	return r.Where(func(record *Record) bool { return record.Tag != "" && matchAny(patterns, record.Tag) })
}

// Digest returns the requests that name a blob or a manifest by any of the
// digests.
func (r Requests) Digest(digests ...digest.Digest) Requests {
	return r.Where(func(record *Record) bool { return record.Digest != "" && slices.Contains(digests, record.Digest) })
}

// Method returns the requests with any of the HTTP methods.
func (r Requests) Method(methods ...string) Requests {
	return r.Where(func(record *Record) bool { return slices.Contains(methods, record.Method) })
}

// User returns the requests of users that any of the patterns matches, see
// [Requests.Repo]. The pattern "" matches requests of nobody in particular.
func (r Requests) User(patterns ...string) Requests {
	return r.Where(func(record *Record) bool { return matchAny(patterns, record.User) })
}

// Status returns the requests that were answered with any of the statuses.
func (r Requests) Status(codes ...int) Requests {
	return r.Where(func(record *Record) bool { return slices.Contains(codes, record.Status) })
}

// Failed returns the requests that were answered with a status of 400 or
// above, or were not answered in full.
func (r Requests) Failed() Requests {
	return r.Where(func(record *Record) bool {
		return !record.Ongoing && (record.Status == 0 || record.Status >= 400 || record.Err != nil || record.Gone)
	})
}

// Faulted returns the requests that a fault has hit.
func (r Requests) Faulted() Requests {
	return r.Where(func(record *Record) bool { return record.Fault != nil })
}

// Sorted returns the same requests, each run of requests for any of the
// operations sorted by their [Record.String]; without operations, all of them.
// It is for what a client does concurrently, in an order that differs from run
// to run.
func (r Requests) Sorted(ops ...registry.Op) Requests {
	within := func(record *Record) bool { return len(ops) == 0 || slices.Contains(ops, record.Op) }
	return r.then(func(all []*Record) []*Record {
		sorted := slices.Clone(all)
		for i := 0; i < len(sorted); i++ {
			end := i
			for end < len(sorted) && within(sorted[end]) {
				end++
			}
			slices.SortStableFunc(sorted[i:end], func(a, b *Record) int { return strings.Compare(a.String(), b.String()) })
			i = max(i, end)
		}
		return sorted
	})
}

// Len returns how many requests there are.
func (r Requests) Len() int { return len(r.records) }

// All yields the requests with their index among these, from 0.
func (r Requests) All() iter.Seq2[int, *Record] { return slices.All(r.records) }

// At returns the request with the index, from 0, or an empty Record if there
// is none.
func (r Requests) At(i int) *Record {
	if i < 0 || i >= len(r.records) {
		return &Record{}
	}
	return r.records[i]
}

// First returns the first request, or an empty Record if there is none.
func (r Requests) First() *Record { return r.At(0) }

// Last returns the last request, or an empty Record if there is none.
func (r Requests) Last() *Record { return r.At(len(r.records) - 1) }

// MaxInFlight returns the largest number of these requests that the registry
// was serving at the same time.
func (r Requests) MaxInFlight() int {
	type event struct{ at, change int }
	var events []event
	for _, record := range r.records {
		events = append(events, event{record.began, 1})
		if record.ended > 0 {
			events = append(events, event{record.ended, -1})
		}
	}
	slices.SortFunc(events, func(a, b event) int { return a.at - b.at })
	now, most := 0, 0
	for _, e := range events {
		now += e.change
		most = max(most, now)
	}
	return most
}

// WaitFor waits until there are n requests of this kind, and returns all that
// there are then. A request counts when it arrives, unless it was chosen by
// something that is known only when it is answered, such as its status.
//
// It waits without polling, also in a bubble of testing/synctest. If ctx is
// done before, it returns the requests that there are with an error that says
// which requests there have been.
func (r Requests) WaitFor(ctx context.Context, n int) (Requests, error) {
	for {
		var news <-chan struct{}
		if r.journal != nil {
			news = r.journal.news()
			r.records = r.journal.records()
			for _, step := range r.steps {
				r.records = step(r.records)
			}
		}
		if len(r.records) >= n {
			return r, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			all := r
			if r.journal != nil {
				all = r.journal.Requests()
			}
			return r, fmt.Errorf("registrytest: waiting for %d requests, of which %d have come: %w; there were in all\n%s",
				n, len(r.records), context.Cause(ctx), all.Table(maxDump))
		}
	}
}

// CheckSequence checks that the requests are for these operations, in this
// order, and that there are no others.
func (r Requests) CheckSequence(t TB, want ...registry.Op) {
	t.Helper()
	wanted := make([]string, len(want))
	for i, op := range want {
		wanted[i] = op.String()
	}
	got := make([]string, len(r.records))
	for i, record := range r.records {
		got[i] = record.Op.String()
	}
	difference := linediff.Lines(wanted, got, func(i int) string {
		return fmt.Sprintf("%-14s  #%d %v", got[i], r.records[i].Number, r.records[i])
	})
	if difference != "" {
		t.Errorf("requests are not for the operations in the order that was expected (- expected, + got):\n%s", difference)
	}
}

// maxDump is the number of requests that a failure prints.
const maxDump = 100

// String returns a table of the requests, for people to read.
func (r Requests) String() string { return r.Table(len(r.records)) }

// Table returns a table of the last n requests, for people to read.
func (r Requests) Table(n int) string {
	if len(r.records) == 0 {
		return "no requests\n"
	}
	var b strings.Builder
	shown := r.records
	if len(shown) > n {
		fmt.Fprintf(&b, "… %d requests before these\n", len(shown)-n)
		shown = shown[len(shown)-n:]
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

// longDigest is a digest, or the tag that stands for one, with what of it is
// enough to tell it from others.
var longDigest = regexp.MustCompile(`\b(sha[0-9]+[:-][0-9a-f]{12})[0-9a-f]{20,}`)

// remarks are the notes, and what differs from run to run.
func (r *Record) remarks() string {
	notes := r.notes()
	if r.Gone {
		notes = append(notes, "client gone")
	}
	if r.Err != nil {
		notes = append(notes, r.Err.Error())
	}
	return strings.Join(notes, " ")
}

// roundTime drops the digits of a duration that nobody reads.
func roundTime(d time.Duration) time.Duration {
	for unit := time.Duration(1); ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit)
		}
	}
}
