package explore

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/journal"
)

// A trouble is one of the faults that [EveryFault] tries, such as "503 once".
type trouble struct {
	name  string
	times int // the number of consecutive requests that it hits, or 0 for all

	// applies reports whether the trouble makes sense for a request of the
	// undisturbed run.
	applies func(r *journal.Record) bool

	// add adds the action of the trouble, such as a status, to a rule that matches r.
	add func(rule fault.Rule, r *journal.Record, s scale) fault.Rule

	// wide is set if the trouble hits all requests for the same content,
	// whatever their range.
	wide bool

	// endless is set if the trouble lasts until the client goes away. Only
	// [Stalls] and [MustSucceed] choose such troubles.
	endless bool

	// forges is set if the response may look valid although its content is wrong.
	forges bool

	// family is the name that this trouble shares with its variants.
	family string
}

// forGood ends the name of a trouble that hits every request of a kind, not only
// the first.
const forGood = " for good"

// A scale holds the durations that faults use. In a bubble they take no real
// time. Over loopback, Retry-After has to differ from the second or two that many
// clients wait on their own, even as a date, which loses up to a second.
type scale struct{ retryAfter, slow time.Duration }

var (
	bubbleScale   = scale{retryAfter: 40 * time.Second, slow: 20 * time.Second}
	loopbackScale = scale{retryAfter: 3 * time.Second, slow: 200 * time.Millisecond}
)

// otherHost is the host of links that point away from the registry. It is an
// address reserved for documentation, because a client may resolve names itself.
const otherHost = "192.0.2.1:5000"

// repeats and onceOrAlways list the numbers of consecutive requests that a fault
// may hit, and the words for them in its name. If n is 0, the fault hits all.
var (
	repeats = []struct {
		name string
		n    int
	}{{" once", 1}, {" twice", 2}, {forGood, 0}}
	onceOrAlways = []struct {
		name string
		n    int
	}{{"", 1}, {forGood, 0}}
)

// troubles returns all faults that [EveryFault] tries.
func troubles() []trouble {
	var list []trouble
	add := func(name string, times int, applies func(*journal.Record) bool, words func(fault.Rule, *journal.Record, scale) fault.Rule) *trouble {
		list = append(list, trouble{name: name, times: times, applies: applies, add: words, family: strings.TrimSuffix(name, forGood)})
		return &list[len(list)-1]
	}
	for _, status := range []int{408, 429, 500, 502, 503, 504} {
		for _, times := range repeats {
			add(fmt.Sprintf("%d%s", status, times.name), times.n, every, func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule {
				return rule.Status(status)
			}).family = "status"
		}
	}
	for _, status := range []int{429, 503} {
		for _, times := range repeats {
			add(fmt.Sprintf("%d%s, Retry-After", status, times.name), times.n, every, func(rule fault.Rule, _ *journal.Record, s scale) fault.Rule {
				return rule.Status(status).RetryAfter(s.retryAfter)
			}).family = "status"
		}
		add(fmt.Sprintf("%d once, Retry-After as a date", status), 1, every, func(rule fault.Rule, _ *journal.Record, s scale) fault.Rule {
			return rule.Status(status).RetryAfter(s.retryAfter, fault.AsDate)
		}).family = "status"
	}
	for _, end := range []struct {
		name string
		at   func(fault.Rule, ...fault.Place) fault.Rule
	}{{"closed", fault.Rule.Close}, {"reset", fault.Rule.Reset}} {
		first := len(list)
		atFirst := func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule { return end.at(rule, fault.AtByte(0)) }
		inMiddle := func(rule fault.Rule, r *journal.Record, _ scale) fault.Rule {
			return end.at(rule, fault.AtByte(size(r)/2))
		}
		// The fault hits two requests, because net/http repeats some
		// requests once by itself.
		before := func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule { return end.at(rule) }
		add(end.name+" before the response", 2, every, before)
		add(end.name+" in the header", 1, every, func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule {
			return end.at(rule, fault.InHeader(17))
		})
		add(end.name+" at the first byte", 1, hasBytes(1), atFirst)
		add(end.name+" in the middle", 1, hasBytes(2), inMiddle)
		add(end.name+" at the last byte", 1, hasBytes(3), func(rule fault.Rule, r *journal.Record, _ scale) fault.Rule {
			return end.at(rule, fault.AtByte(size(r)-1))
		})
		add(end.name+forGood, 0, every, before)
		add(end.name+" at the first byte"+forGood, 0, hasBytes(1), atFirst)
		add(end.name+" in the middle"+forGood, 0, hasBytes(2), inMiddle)
		for i := range list[first:] {
			list[first+i].family = "connection"
		}
	}
	corrupt := func(rule fault.Rule, r *journal.Record, _ scale) fault.Rule { return rule.Corrupt(size(r) / 2) }
	shorter := func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule { return rule.ContentLength(1) }
	for _, times := range onceOrAlways {
		add("corrupt byte"+times.name, times.n, hasBytes(1), corrupt).forges = true
		add("truncated"+times.name, times.n, isContent, truncated).forges = true
		add("shorter than its length"+times.name, times.n, isContent, shorter)
	}
	add("Range ignored", 1, hasRange, func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule {
		return rule.Ignore("Range")
	})
	add("no ranges", 0, hasRange, func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule {
		return rule.Ignore("Range")
	}).wide = true
	add("closed in the middle, then Range ignored", 1, isWhole, func(rule fault.Rule, r *journal.Record, _ scale) fault.Rule {
		return rule.Close(fault.AtByte(size(r) / 2)).Then().Once().Ignore("Range")
	})
	for _, times := range onceOrAlways {
		always := times.n == 0 // A rule for all chunks must not name the range of one.
		add("lost response"+times.name, times.n, registryWrites, func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule {
			return rule.AfterCommit().Reset()
		})
		add("lost session"+times.name, times.n, hasSession, func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule {
			return rule.LoseUpload()
		}).wide = always
		add("half accepted"+times.name, times.n, isChunk, func(rule fault.Rule, r *journal.Record, _ scale) fault.Rule {
			return rule.Acknowledge(size(r) / 2)
		}).wide = always
		add("half kept"+times.name, times.n, func(r *journal.Record) bool { return hasSession(r) && size(r) > 1 }, func(rule fault.Rule, r *journal.Record, _ scale) fault.Rule {
			return rule.Keep(size(r) / 2)
		}).wide = always
		add("delivered twice"+times.name, times.n, registryWrites, func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule {
			return rule.Duplicate()
		})
		add("slow"+times.name, times.n, every, func(rule fault.Rule, _ *journal.Record, s scale) fault.Rule { return rule.Delay(s.slow) })
		add("expired token"+times.name, times.n, func(r *journal.Record) bool { return r.Op != registry.GetToken && hasCredentials(r) }, func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule {
			return rule.Ignore("Authorization")
		})
	}
	add("stalled in the middle", 1, hasBytes(2), func(rule fault.Rule, r *journal.Record, s scale) fault.Rule {
		return rule.Stall(size(r)/2, s.slow)
	})
	stall := add("no response", 1, every, func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule { return rule.Delay(2 * bubbleLimit) })
	stall.endless, stall.family = true, "stalled"
	stall = add("stalled for good", 1, hasBytes(2), func(rule fault.Rule, r *journal.Record, _ scale) fault.Rule { return rule.Stall(size(r) / 2) })
	stall.endless, stall.family = true, "stalled"
	add("stale listing", 1, func(r *journal.Record) bool { return r.Op == registry.ListTags || r.Op == registry.ListReferrers }, stale).forges = true
	add("not there yet", 1, isRead, func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule {
		return rule.Status(http.StatusNotFound)
	})
	list[len(list)-1].forges, list[len(list)-1].family = true, "status"
	add("redirected to another host", 1, isContent, func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule {
		return rule.Status(http.StatusTemporaryRedirect).Location("http://" + otherHost)
	})
	add("upload at another host", 1, func(r *journal.Record) bool { return r.Op.StartsUpload() && r.Status == 202 && hasCredentials(r) }, func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule {
		return rule.Location("http://" + otherHost)
	})
	add("next page at another host", 1, func(r *journal.Record) bool { return r.ResponseHeader.Get("Link") != "" && hasCredentials(r) }, func(rule fault.Rule, _ *journal.Record, _ scale) fault.Rule {
		return rule.Location("http://" + otherHost)
	})
	return list
}

// truncated makes the registry send the first half of the content, with the
// Content-Length of the half.
func truncated(rule fault.Rule, r *journal.Record, _ scale) fault.Rule {
	first := int64(0)
	field := r.RequestHeader.Get("Range")
	fmt.Sscanf(field, "bytes=%d-", &first)
	rule = rule.Ignore(fmt.Sprintf("Range=bytes=%d-%d", first, first+size(r)/2-1))
	if field == "" {
		return rule.Status(http.StatusOK).Body(fault.Own).DropHeader("Content-Range")
	}
	return rule.SetHeader("Content-Range", r.ResponseHeader.Get("Content-Range"))
}

// stale makes the registry send an empty list.
func stale(rule fault.Rule, r *journal.Record, _ scale) fault.Rule {
	if r.Op == registry.ListTags {
		return rule.Status(http.StatusOK).SetHeader("Content-Type", "application/json").Body(fault.Text(fmt.Sprintf(`{"name":%q,"tags":[]}`, r.Repo)))
	}
	return rule.Status(http.StatusOK).SetHeader("Content-Type", ocispec.MediaTypeImageIndex).
		Body(fault.Text(`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`))
}

// The following functions serve as trouble.applies.

func every(*journal.Record) bool { return true }

// hasBytes returns a function that reports whether an operation transferred a
// body of at least n bytes.
func hasBytes(n int64) func(*journal.Record) bool {
	return func(r *journal.Record) bool { return size(r) >= n && r.Method != http.MethodHead }
}

// size returns the size of the request's body if the operation uploads content,
// and otherwise that of the response's body.
func size(r *journal.Record) int64 {
	if r.Op.HasBody() {
		return r.BytesIn
	}
	return r.BytesOut
}

func isContent(r *journal.Record) bool {
	return (r.Op == registry.GetBlob || r.Op == registry.GetManifest) && r.Status < 300 && size(r) > 1
}

func hasRange(r *journal.Record) bool { return r.Op == registry.GetBlob && r.Status == 206 }

func isWhole(r *journal.Record) bool {
	return r.Op == registry.GetBlob && r.Status == 200 && size(r) > 1
}

func registryWrites(r *journal.Record) bool { return r.Op.Writes() }

func hasSession(r *journal.Record) bool { return r.Op.HasSession() && r.Op != registry.CancelUpload }

func isChunk(r *journal.Record) bool { return r.Op == registry.PatchUpload && size(r) > 1 }

func hasCredentials(r *journal.Record) bool { return r.RequestHeader.Get("Authorization") != "" }

// isRead reports whether the operation found something that a slow replica of the
// registry may not have yet. Lists of referrers do not count: for them, 404 means
// that the registry lacks the API.
func isRead(r *journal.Record) bool {
	switch r.Op {
	case registry.GetBlob, registry.HeadBlob, registry.GetManifest, registry.HeadManifest, registry.ListTags:
		return r.Status < 300
	}
	return false
}

// proves reports whether the request names a digest by which the client can
// verify the content of the response.
func proves(r *journal.Record) bool {
	return (r.Op == registry.GetBlob || r.Op == registry.GetManifest) && r.Digest != ""
}

// otherURL returns the rule with the URL of the other host replaced by url.
func otherURL(r fault.Rule, url string) (fault.Rule, error) {
	return fault.Parse(strings.ReplaceAll(r.String(), "http://"+otherHost, url))
}
