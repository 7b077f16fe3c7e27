package lint

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/registrytest/journal"
)

// These rules are for all requests. Each comment describes the requests that break the
// rule.
const (
	Link       Rule = "link"        // a request for the next page of a list with a URL other than the one in Link
	Name       Rule = "name"        // a malformed repository name, tag or digest
	Endpoint   Rule = "endpoint"    // a path or a method that the spec does not define
	NoBody     Rule = "no-body"     // a GET, HEAD or DELETE with a body
	RetryAfter Rule = "retry-after" // a request that the client repeats before the time in Retry-After
	Expected   Rule = "expected"    // an operation that is not in Linter.Expect
)

var requestChecks = []check{
	{
		Link, "Listing Tags, Listing Referrers; RFC 5988",
		"A client that wants the next page of a list uses the URL in Link, if there is one.",
		(*run).link,
	},
	{
		Name, "Pulling manifests",
		"The names of repositories, tags and digests have the form that the spec defines.",
		(*run).name,
	},
	{
		Endpoint, "Endpoints",
		"Requests are to the endpoints of the spec, spelled as they are there.",
		(*run).endpoint,
	},
	{
		NoBody, "RFC 9110, sections 9.3.1, 9.3.2 and 9.3.5",
		"GET, HEAD and DELETE have no body.",
		(*run).noBody,
	},
	{
		RetryAfter, "Error Codes; RFC 9110, section 10.2.3",
		"A client that got 429 or 503 does not repeat the request before the time in Retry-After.",
		(*run).retryAfter,
	},
	{
		Expected, "the test itself",
		"Clients request only operations that the test expects.",
		(*run).expected,
	},
}

func (l *run) link() {
	var before []location
	for _, r := range l.records {
		if !r.Op.Pages() {
			continue
		}
		query := r.URL.Query()
		follows := func(g location) bool {
			next := g.url.Query()
			return g.from.Op == r.Op && g.from.Repo == r.Repo && g.from.Digest == r.Digest &&
				(query.Has("last") && query.Get("last") == next.Get("last") ||
					query.Has(field.StateParam) && query.Get(field.StateParam) == next.Get(field.StateParam))
		}
		same := func(g location) bool { return g.url.Path == r.URL.Path && g.url.Query().Encode() == query.Encode() }
		if i := slices.IndexFunc(before, follows); i >= 0 && !slices.ContainsFunc(before, same) {
			l.found(r, "the URL is %s, but Link was %s", r.URL.RequestURI(), before[i].url.RequestURI())
		}
		if u := next(r); u != nil && succeeded(r) {
			before = append(before, location{r, u})
		}
	}
}

// next returns the absolute URL of the next page in the Link of the response, or nil
// if there is none.
func next(r *journal.Record) *url.URL {
	target, err := field.NextLink(r.ResponseHeader)
	if err != nil || target == "" {
		return nil
	}
	u, err := r.URL.Parse(target)
	if err != nil {
		return nil
	}
	return u
}

func (l *run) name() {
	for _, r := range l.records {
		switch {
		case !r.Op.HasRepo(), r.Op == registry.UnknownOp, r.Op == registry.ListExtensions && r.Repo == "":
			continue
		case r.Repo == "":
			l.found(r, "the name of the repository in %s is not valid", r.URL.Path)
			continue
		}
		query := r.URL.Query()
		switch d := query.Get("digest"); {
		case r.Op == registry.MountBlob:
			if d := query.Get("mount"); !validDigest(d) {
				l.found(r, "%q is not a digest", d)
			}
			if r.From != "" && !names.Repository(r.From) {
				l.found(r, "%q is not the name of a repository", r.From)
			}
		case r.Op.HasDigest() && (r.Op.StartsUpload() || r.Op.HasSession()):
			if d != "" && !validDigest(d) {
				l.found(r, "%q is not a digest", d)
			}
		case r.Op.HasTag() || r.Op.HasDigest():
			l.reference(r)
		}
		for _, tag := range query["tag"] {
			if r.Op == registry.PutManifest && !names.Tag(tag) {
				l.found(r, "%q is not a tag", tag)
			}
		}
	}
}

// reference adds a finding if the path does not end with a tag or a digest.
func (l *run) reference(r *journal.Record) {
	last := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	switch {
	case r.Tag != "" || validDigest(last):
	case r.Op.HasTag() || r.Op == registry.DeleteManifest:
		l.found(r, "%q is neither a tag nor a digest", last)
	default:
		l.found(r, "%q is not a digest", last)
	}
}

// validDigest reports whether s has the form of a digest. The algorithm may be unknown.
func validDigest(s string) bool {
	err := digest.Digest(s).Validate()
	return err == nil || err == digest.ErrDigestUnsupported
}

func (l *run) endpoint() {
	for _, r := range l.records {
		switch {
		case r.Op == registry.UnknownOp && r.Status >= 200 && r.Status < 400:
			// A middleware serves this endpoint.
		case r.Op == registry.UnknownOp:
			l.found(r, "the spec does not define %s %s", r.Method, r.URL.Path)
		case r.URL.Path == "/v2", strings.HasSuffix(r.URL.Path, "/blobs/uploads"):
			l.found(r, "the path is %s, without the slash at its end", r.URL.Path)
		}
	}
}

func (l *run) noBody() {
	for _, r := range l.records {
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodDelete:
			switch {
			case r.ContentLength > 0:
				l.found(r, "there is a body of %d bytes", r.ContentLength)
			case r.ContentLength < 0:
				l.found(r, "there is a body")
			}
		}
	}
}

func (l *run) retryAfter() {
	type target struct{ method, path, query, part string }
	type wait struct {
		by    *journal.Record
		until time.Time
	}
	waits := make(map[target]wait)
	for _, r := range l.records {
		query := r.URL.Query()
		query.Del(field.StateParam)
		to := target{r.Method, r.URL.Path, query.Encode(), r.Range}
		// A request that began before the response ended is not a repetition.
		if w, ok := waits[to]; ok && !r.Start.Before(end(w.by)) && r.Start.Before(w.until) {
			l.found(r, "the response to request %d was %d with Retry-After: %s, and this request is %v too early",
				w.by.Number, w.by.Status, w.by.ResponseHeader.Get("Retry-After"), w.until.Sub(r.Start))
			if !r.Failed() {
				delete(waits, to) // After a success, no later request is a repetition.
			}
		}
		if r.Err != nil && r.BytesOut == 0 {
			continue // The client may not have received the whole header.
		}
		if r.Status == http.StatusTooManyRequests || r.Status == http.StatusServiceUnavailable {
			if until, ok := retryAt(r); ok {
				waits[to] = wait{r, until}
			}
		}
	}
}

// retryAt returns the time that the Retry-After of the response stands for.
func retryAt(r *journal.Record) (time.Time, bool) {
	return field.RetryAfter(r.ResponseHeader.Get("Retry-After"), end(r))
}

func (l *run) expected() {
	if l.expect == nil {
		return
	}
	for _, r := range l.records {
		if !slices.Contains(l.expect, r.Op) {
			l.found(r, "the test does not expect %v", r.Op)
		}
	}
}
