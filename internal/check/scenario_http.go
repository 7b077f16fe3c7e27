package check

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/internal/hint"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/journal"
)

// warning is the text of the Warning field that the registry sends in a scenario.
const warning = "ocireg check: this registry moves next month"

// redirected lists the operations whose requests the registry redirects to
// another host. Any HTTP client can repeat these requests there.
var redirected = []registry.Op{registry.GetManifest, registry.HeadManifest, registry.GetBlob, registry.HeadBlob, registry.ListTags, registry.ListReferrers}

// The scenarios about HTTP apply to commands of several kinds.
var httpScenarios = []scenario{
	{
		name:         "redirects",
		requirements: []Requirement{followsRedirects},
		applies: func(base *run) string {
			if !base.has(nil, redirected...) {
				return "the command reads nothing from the registry"
			}
			return ""
		},
		arrange: func(w *world, _ *run) {
			w.fault(fault.On(redirected...).Status(http.StatusTemporaryRedirect).Location(w.other()))
		},
		judge: func(j *judgement) {
			switch {
			case !j.succeeds(followsRedirects):
			case j.run.elsewhere.Len() == 0:
				j.violated(followsRedirects, j.run.requests.Records(), "the command succeeds without a request to the other host")
			default:
				j.held(followsRedirects, "%s at the other host", hint.Count(j.run.elsewhere.Len(), "request"))
			}
		},
	},
	{
		name:         "credentials",
		requirements: []Requirement{keepsAuthorization},
		applies: func(base *run) string {
			if !base.has(nil, redirected...) {
				return "the command reads nothing from the registry"
			}
			return ""
		},
		arrange: func(w *world, _ *run) {
			w.requireLogin()
			w.fault(fault.On(redirected...).User("*").Status(http.StatusTemporaryRedirect).Location(w.other()))
		},
		judge: judgeCredentials,
	},
	// Clients that ignore Retry-After usually wait one second or two before they
	// repeat a request. A date has whole seconds, so it is two to three seconds away.
	retryAfter("retry-after", waitsForRetryAfter, 3*time.Second),
	retryAfter("retry-after as a date", waitsForDate, 3*time.Second, fault.AsDate),
	{
		name:         "warnings",
		requirements: []Requirement{reportsWarnings, deduplicatesWarnings, doesNotActOnWarnings},
		applies:      always,
		arrange:      func(w *world, _ *run) { w.with(registry.WithWarnings(warning)) },
		judge:        judgeWarnings,
	},
}

func judgeCredentials(j *judgement) {
	if j.run.requests.Where(authorized).Len() == 0 {
		j.notTried(keepsAuthorization, "the command does not take the credentials in $DOCKER_CONFIG/config.json")
		return
	}
	leaked := j.run.elsewhere.Where(authorized)
	switch {
	case leaked.Len() > 0:
		j.violated(keepsAuthorization, leaked.Records(), "the request that was redirected to another host has Authorization there")
	case j.run.elsewhere.Len() == 0:
		j.notTried(keepsAuthorization, "the command does not follow the redirect")
	default:
		j.held(keepsAuthorization, "%s at the other host", hint.Count(j.run.elsewhere.Len(), "request"))
	}
}

func authorized(r *journal.Record) bool { return r.RequestHeader.Get("Authorization") != "" }

// limited returns an operation that the command uses and that the registry can
// limit, or UnknownOp. Its requests differ in their paths, which tells a repeated
// request from a new one.
func limited(base *run) registry.Op {
	for _, op := range []registry.Op{registry.PutManifest, registry.GetManifest, registry.ListTags, registry.ListReferrers, registry.DeleteManifest, registry.DeleteTag, registry.HeadManifest, registry.GetBlob, registry.HeadBlob} {
		if base.has(nil, op) {
			return op
		}
	}
	return registry.UnknownOp
}

// retryAfter returns a scenario in which the registry responds once with 429 and
// a Retry-After of the given time.
func retryAfter(name string, req Requirement, wait time.Duration, form ...fault.RetryForm) scenario {
	return scenario{
		name:         name,
		requirements: []Requirement{req},
		applies: func(base *run) string {
			if limited(base) == registry.UnknownOp {
				return "a repeated request of the command would look like a new one"
			}
			return ""
		},
		arrange: func(w *world, base *run) {
			w.fault(fault.On(limited(base)).Once().Status(http.StatusTooManyRequests).RetryAfter(wait, form...))
		},
		judge: func(j *judgement) { judgeRetryAfter(j, req) },
	}
}

func judgeRetryAfter(j *judgement, req Requirement) {
	refused := j.run.requests.Status(http.StatusTooManyRequests).Records()
	if len(refused) == 0 {
		j.notTried(req, "the command did not send the request this time")
		return
	}
	first := refused[0]
	end := first.Start.Add(first.Duration)
	value := first.ResponseHeader.Get("Retry-After")
	until, ok := field.RetryAfter(value, end)
	again := j.run.requests.Where(func(r *journal.Record) bool {
		return r.Number > first.Number && r.Method == first.Method && r.URL.Path == first.URL.Path
	}).Records()
	switch {
	case !ok:
		j.notTried(req, fmt.Sprintf("Retry-After was %q", value))
	case len(again) > 0 && again[0].Start.Before(until):
		j.violated(req, []*journal.Record{first, again[0]}, "the command repeats the request after %v, and Retry-After was %v",
			again[0].Start.Sub(end).Round(time.Millisecond), until.Sub(end).Round(time.Millisecond))
	case len(again) > 0 && j.run.ok():
		j.held(req, "repeated in time")
	case len(again) > 0:
		j.held(req, "repeated in time, and failed: %s", j.run.end())
	case j.run.ok():
		j.held(req, "not repeated")
	default:
		j.held(req, "not repeated: it fails")
	}
}

func judgeWarnings(j *judgement) {
	switch n := strings.Count(j.run.output, warning); {
	case n == 0 && j.run.late:
		j.notTried(reportsWarnings, killed)
		j.notTried(deduplicatesWarnings, killed)
	case n == 0:
		j.violated(reportsWarnings, j.run.requests.Records(), "the output does not have the warning that %s had", hint.Count(j.run.requests.Len(), "response"))
		j.notTried(deduplicatesWarnings, "the warning is not reported")
	case n > 1:
		j.held(reportsWarnings, "")
		j.violated(deduplicatesWarnings, j.run.requests.Records(), "the output has the warning %d times, from %s", n, hint.Count(j.run.requests.Len(), "response"))
	default:
		j.held(reportsWarnings, "")
		if j.run.requests.Len() > 1 {
			j.held(deduplicatesWarnings, "once, from %s", hint.Count(j.run.requests.Len(), "response"))
		} else {
			j.notTried(deduplicatesWarnings, "there is one response only")
		}
	}
	if j.succeeds(doesNotActOnWarnings) {
		j.held(doesNotActOnWarnings, "")
	}
}
