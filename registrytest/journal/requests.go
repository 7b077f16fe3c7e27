package journal

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sort"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/hint"
	"github.com/ocireg/registry/internal/names"
)

// Requests is a list of requests in the order of their arrival: all requests of a
// [Journal] at one moment, or those that the methods of a Requests select.
//
//	reg.Requests().Op(registry.GetBlob).Repo("team/*").Status(206).Len()
//
// A Requests does not change. To see requests that arrive later, call
// [Journal.Requests] again, or use [Requests.WaitFor].
//
// In the patterns that methods take, * stands for any characters except a
// slash, ? for one of these, and ** for any characters: "team/*" matches
// team/app, and "team/**" matches team/app/base as well. A pattern matches only
// a value that the request has: Tag("*") does not select a request by digest.
// The pattern "" matches the lack of a value.
type Requests struct {
	journal *Journal
	steps   []func([]*Record) []*Record // the steps that make this list from all requests
	records []*Record
	last    int // the number of the last request when this list was made
}

// NewRequests returns a Requests with the records. It has no journal.
func NewRequests(records ...*Record) Requests { return Requests{}.of(records) }

// of returns a Requests that consists of these records.
func (r Requests) of(records []*Record) Requests {
	r.records = records
	for _, record := range records {
		r.last = max(r.last, record.Number)
	}
	return r
}

// then returns the list after one more step, which it notes for [Requests.WaitFor].
func (r Requests) then(step func([]*Record) []*Record) Requests {
	return Requests{r.journal, append(slices.Clip(r.steps), step), step(r.records), r.last}
}

// Where returns the requests for which keep returns true. A later call of
// [Requests.WaitFor] calls keep for other records, too.
//
//go:noinline
func (r Requests) Where(keep func(*Record) bool) Requests {
	// If the compiler inlined Where, an eighth of the package's machine code would be
	// copies of it.
	return r.then(func(all []*Record) (kept []*Record) {
		for _, record := range all {
			if keep(record) {
				kept = append(kept, record)
			}
		}
		return kept
	})
}

// Op returns the requests with any of the operations.
func (r Requests) Op(ops ...registry.Op) Requests {
	return r.Where(func(record *Record) bool { return slices.Contains(ops, record.Op) })
}

// Repo returns the requests to repositories whose names match any of the
// patterns.
func (r Requests) Repo(patterns ...string) Requests {
	return r.Where(func(record *Record) bool { return names.MatchAny(patterns, record.Repo) })
}

// Tag returns the requests for a manifest by a tag that matches any of the
// patterns.
func (r Requests) Tag(patterns ...string) Requests {
	return r.Where(func(record *Record) bool { return names.MatchAny(patterns, record.Tag) })
}

// Digest returns the requests for a blob or a manifest by a digest that matches
// any of the patterns.
func (r Requests) Digest(patterns ...digest.Digest) Requests {
	texts := make([]string, len(patterns))
	for i, pattern := range patterns {
		texts[i] = string(pattern)
	}
	return r.Where(func(record *Record) bool { return names.MatchAny(texts, string(record.Digest)) })
}

// User returns the requests from users whose names match any of the patterns.
// User("") returns the anonymous requests.
func (r Requests) User(patterns ...string) Requests {
	return r.Where(func(record *Record) bool { return names.MatchAny(patterns, record.User) })
}

// Status returns the requests whose response has any of the statuses.
func (r Requests) Status(codes ...int) Requests {
	return r.Where(func(record *Record) bool { return slices.Contains(codes, record.Status) })
}

// Since returns the requests that arrived after its argument was made, whichever
// requests the argument selects. With Since, a test that shares a server ignores the
// requests of the tests before it.
//
//	before := reg.Requests()
//	// …
//	reg.Requests().Since(before).CheckSequence(t, registry.GetManifest)
func (r Requests) Since(earlier Requests) Requests {
	return r.Where(func(record *Record) bool { return record.Number > earlier.last })
}

// Sorted returns the same requests in another order: each unbroken sequence of requests
// for any of the operations is sorted by [Record.String]. Without operations, all requests
// are sorted. Sorted makes the order of concurrent requests the same in every run of a
// test.
func (r Requests) Sorted(ops ...registry.Op) Requests {
	within := func(record *Record) bool { return len(ops) == 0 || slices.Contains(ops, record.Op) }
	return r.then(func(all []*Record) []*Record {
		sorted := slices.Clone(all)
		for i := 0; i < len(sorted); i++ {
			end := i
			for end < len(sorted) && within(sorted[end]) {
				end++
			}
			run := sorted[i:end]
			sort.SliceStable(run, func(i, j int) bool { return run[i].String() < run[j].String() })
			i = max(i, end)
		}
		return sorted
	})
}

// Len returns the number of requests.
func (r Requests) Len() int { return len(r.records) }

// Records returns the records of the requests, in a new slice.
func (r Requests) Records() []*Record { return slices.Clone(r.records) }

// First returns the record of the first request, or an empty Record if there is
// none.
func (r Requests) First() *Record {
	if len(r.records) == 0 {
		return &Record{}
	}
	return r.records[0]
}

// Last returns the record of the last request, or an empty Record if there is
// none.
func (r Requests) Last() *Record {
	if len(r.records) == 0 {
		return &Record{}
	}
	return r.records[len(r.records)-1]
}

// MaxInFlight returns the largest number of these requests that the registry
// served at the same time.
func (r Requests) MaxInFlight() int {
	type event struct{ at, change int }
	var events []event
	for _, record := range r.records {
		events = append(events, event{record.began, 1})
		if record.ended > 0 {
			events = append(events, event{record.ended, -1})
		}
	}
	sort.Slice(events, func(i, j int) bool { return events[i].at < events[j].at })
	now, most := 0, 0
	for _, e := range events {
		now += e.change
		most = max(most, now)
	}
	return most
}

// WaitFor waits until the journal has at least n requests that pass the queries by
// which r was made, and returns all of these requests. A request counts when it arrives,
// unless one of the queries selects by a property of the response, such as Status.
//
// WaitFor does not poll, and works in a bubble of package testing/synctest. If
// ctx is done first, WaitFor returns the requests so far, with an error that
// wraps the cause and lists all requests of the journal.
func (r Requests) WaitFor(ctx context.Context, n int) (Requests, error) {
	for {
		var news <-chan struct{}
		if r.journal != nil {
			news = r.journal.news()
			r = r.of(r.journal.records())
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
			return r, fmt.Errorf("journal: waiting for %s, %d arrived: %w; all requests so far:\n%v",
				hint.Count(n, "request"), len(r.records), context.Cause(ctx), all)
		}
	}
}

// pruneAt is the number of requests that Follow remembers before it forgets those that
// the journal has dropped.
const pruneAt = 10000

// Follow returns a sequence of lists of requests, which pass the queries by which r was
// made. A request is in one list when it arrives, and in another when its response has
// ended. The first list has the requests that are already in the journal. The sequence
// ends when ctx is done.
//
//	for news := range reg.Requests().Op(registry.PutManifest).Follow(ctx) {
//		fmt.Println(news)
//	}
func (r Requests) Follow(ctx context.Context) iter.Seq[Requests] {
	return func(yield func(Requests) bool) {
		sent := make(map[int]bool) // for each number of a request, whether it had ended
		pending := r.Where(func(record *Record) bool {
			ended, ok := sent[record.Number]
			return !ok || !ended && !record.Ongoing
		})
		for limit := pruneAt; ; {
			news, err := pending.WaitFor(ctx, 1)
			if err != nil || !yield(news) || r.journal == nil {
				return
			}
			for _, record := range news.records {
				sent[record.Number] = !record.Ongoing
			}
			if len(sent) <= limit {
				continue
			}
			first := r.journal.Requests().First().Number
			maps.DeleteFunc(sent, func(n int, _ bool) bool { return n < first })
			limit = 2*len(sent) + pruneAt
		}
	}
}
