package lint

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/internal/redact"
	"github.com/ocireg/registry/registrytest/journal"
)

func (l *lint) accept() {
	l.each(func(r *journal.Record) {
		if len(r.RequestHeader.Values("Accept")) == 0 {
			l.found(r, "there is no Accept")
		}
	}, registry.GetManifest, registry.HeadManifest)
}

func (l *lint) contentType() {
	l.each(func(r *journal.Record) {
		value := r.RequestHeader.Get("Content-Type")
		switch {
		case value == "":
			l.found(r, "there is no Content-Type")
		case strings.Contains(value, ";"):
			l.found(r, "Content-Type is %q", value)
		}
	}, registry.PutManifest)
}

func (l *lint) mediaType() {
	l.each(func(r *journal.Record) {
		value := r.RequestHeader.Get("Content-Type")
		if r.MediaType == "" || value == "" {
			return
		}
		if t, _, _ := strings.Cut(value, ";"); strings.TrimSpace(t) != r.MediaType {
			l.found(r, "Content-Type is %q, but mediaType is %q", value, r.MediaType)
		}
	}, registry.PutManifest)
}

// referrersTag returns the tag at which clients keep the referrers of a
// manifest where a registry does not (Referrers Tag Schema).
func referrersTag(d digest.Digest) string {
	algorithm, encoded, _ := strings.Cut(string(d), ":")
	tag := algorithm[:min(len(algorithm), 32)] + "-" + encoded[:min(len(encoded), 64)]
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune("_.-", c) || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			return c
		}
		return '-'
	}, tag)
}

// after reports whether the tag was asked for in the repository after the
// request, with any of the operations.
func (l *lint) after(r *journal.Record, tag string, ops ...registry.Op) bool {
	return slices.ContainsFunc(l.records, func(o *journal.Record) bool {
		return o.Number > r.Number && o.Repo == r.Repo && o.Tag == tag && slices.Contains(ops, o.Op)
	})
}

func (l *lint) referrersFallback() {
	l.each(func(r *journal.Record) {
		if r.Status != http.StatusNotFound || r.Digest == "" {
			return
		}
		if tag := referrersTag(r.Digest); !l.after(r, tag, registry.GetManifest, registry.HeadManifest) {
			l.found(r, "the tag %s was not looked at", tag)
		}
	}, registry.ListReferrers)
}

func (l *lint) referrersTag() {
	l.each(func(r *journal.Record) {
		subject := r.Subject
		if subject == "" || !succeeded(r) || r.ResponseHeader.Get("OCI-Subject") != "" {
			return
		}
		if tag := referrersTag(subject); !l.after(r, tag, registry.PutManifest) {
			l.found(r, "the tag %s was not pushed", tag)
		}
	}, registry.PutManifest)
}

func (l *lint) link() {
	var before []given
	l.each(func(r *journal.Record) {
		query := r.URL.Query()
		goesOn := func(g given) bool {
			next := g.url.Query()
			return g.by.Op == r.Op && g.by.Repo == r.Repo && g.by.Digest == r.Digest &&
				(query.Has("last") && query.Get("last") == next.Get("last") ||
					query.Has(journal.StateParam) && query.Get(journal.StateParam) == next.Get(journal.StateParam))
		}
		same := func(g given) bool { return g.url.Path == r.URL.Path && g.url.Query().Encode() == query.Encode() }
		if i := slices.IndexFunc(before, goesOn); i >= 0 && !slices.ContainsFunc(before, same) {
			l.found(r, "the URL is %s, where Link was %s", r.URL.RequestURI(), before[i].url.RequestURI())
		}
		if u := next(r); u != nil && succeeded(r) {
			before = append(before, given{r, u})
		}
	}, registry.ListTags, registry.ListReferrers, registry.ListRepositories)
}

// next returns the absolute URL of the next page according to the Link of the
// response, or nil if there is none.
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

func (l *lint) name() {
	for _, r := range l.records {
		switch r.Op {
		case registry.UnknownOp, registry.Ping, registry.GetToken, registry.ListRepositories, registry.ListExtensions:
			continue // They are not about a repository.
		}
		elements := strings.Split(r.URL.Path, "/")
		last := elements[len(elements)-1]
		if r.Repo == "" {
			l.found(r, "the name of the repository in %s is not valid", r.URL.Path)
			continue
		}
		switch r.Op {
		case registry.GetManifest, registry.HeadManifest, registry.PutManifest, registry.DeleteManifest, registry.DeleteTag:
			if r.Tag == "" && !validDigest(last) {
				l.found(r, "%q is neither a tag nor a digest", last)
			}
			for _, tag := range r.URL.Query()["tag"] {
				if r.Op == registry.PutManifest && !names.Tag(tag) {
					l.found(r, "%q is not a tag", tag)
				}
			}
		case registry.GetBlob, registry.HeadBlob, registry.DeleteBlob, registry.ListReferrers:
			if !validDigest(last) {
				l.found(r, "%q is not a digest", last)
			}
		case registry.PostBlob, registry.PutUpload:
			if d := r.URL.Query().Get("digest"); d != "" && !validDigest(d) {
				l.found(r, "%q is not a digest", d)
			}
		case registry.MountBlob:
			if d := r.URL.Query().Get("mount"); !validDigest(d) {
				l.found(r, "%q is not a digest", d)
			}
			if r.From != "" && !names.Repository(r.From) {
				l.found(r, "%q is not the name of a repository", r.From)
			}
		}
	}
}

// validDigest reports whether s has the form of a digest, whatever its
// algorithm.
func validDigest(s string) bool {
	err := digest.Digest(s).Validate()
	return err == nil || err == digest.ErrDigestUnsupported
}

func (l *lint) endpoint() {
	for _, r := range l.records {
		switch {
		case r.Op == registry.UnknownOp:
			l.found(r, "there is no %s %s", r.Method, r.URL.Path)
		case r.URL.Path == "/v2", strings.HasSuffix(r.URL.Path, "/blobs/uploads"):
			l.found(r, "the path is %s, without the slash at its end", r.URL.Path)
		}
	}
}

func (l *lint) noBody() {
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

func (l *lint) credentials() {
	challenged := false
	for _, r := range l.records {
		if !challenged && r.RequestHeader.Get("Authorization") != "" {
			l.found(r, "the registry has not asked for the credentials %q", r.RequestHeader.Get("Authorization"))
		}
		challenged = challenged || !r.Ongoing && r.ResponseHeader.Get("WWW-Authenticate") != ""
	}
}

func (l *lint) credentialsInURL() {
	for _, r := range l.records {
		if r.Session != "" && r.Op != registry.StartUpload {
			continue // The query is what the registry has put into Location.
		}
		if _, ok := r.URL.User.Password(); ok {
			l.found(r, "there is a password before the host")
		}
		for name := range r.URL.Query() {
			if redact.Secret(name) && !strings.EqualFold(name, "offline_token") {
				l.found(r, "there is a secret in the parameter %s", name)
			}
		}
	}
}

func (l *lint) credentialsPlain() {
	for _, r := range l.records {
		scheme, _, _ := strings.Cut(r.RequestHeader.Get("Authorization"), " ")
		if strings.EqualFold(scheme, "Basic") && r.URL.Scheme == "http" && !names.Loopback(r.URL.Hostname()) {
			l.found(r, "a password is sent to %s in plain text", r.URL.Host)
		}
	}
}

func (l *lint) retryAfter() {
	type target struct{ method, path string }
	type wait struct {
		by    *journal.Record
		until time.Time
	}
	waits := make(map[target]wait)
	for _, r := range l.records {
		to := target{r.Method, r.URL.Path}
		// A request that was on its way already could not know.
		if w, ok := waits[to]; ok && !r.Start.Before(end(w.by)) && r.Start.Before(w.until) {
			l.found(r, "request %d was answered %d with Retry-After: %s, which was %v too early to ask again",
				w.by.Number, w.by.Status, w.by.ResponseHeader.Get("Retry-After"), w.until.Sub(r.Start))
		}
		if r.Status == http.StatusTooManyRequests || r.Status == http.StatusServiceUnavailable {
			if until, ok := retryAt(r); ok {
				waits[to] = wait{r, until}
			}
		}
	}
}

// retryAt returns the time that the answer's Retry-After gives.
func retryAt(r *journal.Record) (time.Time, bool) {
	value := r.ResponseHeader.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return end(r).Add(time.Duration(seconds) * time.Second), true
	}
	t, err := http.ParseTime(value)
	return t, err == nil
}

func (l *lint) expected() {
	if l.expect == nil {
		return
	}
	for _, r := range l.records {
		if !slices.Contains(l.expect, r.Op) {
			l.found(r, "the test does not expect %v", r.Op)
		}
	}
}
