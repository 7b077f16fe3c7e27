package explore

import (
	"fmt"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/journal"
)

// A trouble is something that can go wrong with a request.
type trouble struct {
	name  string
	times int // the number of requests that it hits in a row

	// applies reports whether it makes sense for a request, which is one of the
	// undisturbed run. It is nil if it does for all.
	applies func(r *journal.Record) bool

	// add adds the words of the trouble to a rule.
	add func(rule fault.Rule, r *journal.Record, s scale) fault.Rule

	// forges says that the response may be a good one with other content.
	forges bool
}

// A scale has the times of troubles. In a bubble they cost nothing.
type scale struct{ retryAfter, slow time.Duration }

var (
	bubbleScale   = scale{retryAfter: 7 * time.Second, slow: 20 * time.Second}
	loopbackScale = scale{retryAfter: time.Second, slow: 200 * time.Millisecond}
)

// troubles returns the list.
func troubles() (list []trouble) {
	for _, status := range []int{408, 429, 500, 502, 503, 504} {
		for times, word := range []string{"once", "twice"} {
			list = append(list, trouble{
				name: fmt.Sprintf("%d %s", status, word), times: times + 1,
				add: func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule { return rule.Status(status) },
			})
		}
	}
	end := fault.Rule.Reset
	return append(list,
		trouble{
			name: "reset before the response", times: 2, // net/http repeats some requests once by itself.
			add: func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule { return end(rule) },
		},
		trouble{
			name: "closed in the middle", times: 1, applies: hasBytes,
			add: func(rule fault.Rule, r *journal.Record, _ scale) fault.Rule {
				return rule.Close(fault.AtByte(size(r) / 2))
			},
		},
		trouble{
			name: "corrupt byte", times: 1, applies: hasBytes, forges: true,
			add: func(rule fault.Rule, r *journal.Record, _ scale) fault.Rule { return rule.Corrupt(size(r) / 2) },
		},
		trouble{
			name: "lost response", times: 1,
			applies: func(r *journal.Record) bool { return r.Op.Writes() },
			add: func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule {
				return rule.AfterCommit().Reset()
			},
		},
	)
}

// hasBytes reports whether the operation transfers a body.
func hasBytes(r *journal.Record) bool { return size(r) > 0 && r.Method != "HEAD" }

// size returns the number of bytes of the body that the operation transfers.
func size(r *journal.Record) int64 {
	if r.Op.HasBody() {
		return r.BytesIn
	}
	return r.BytesOut
}

// proves reports whether a client can tell from the request itself whether the
// content of the response is the right one.
func proves(r *journal.Record) bool {
	return (r.Op == registry.GetBlob || r.Op == registry.GetManifest) && r.Digest != ""
}
