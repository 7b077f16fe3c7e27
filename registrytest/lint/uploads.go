package lint

import (
	"mime"
	"net/http"
	"net/url"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/hint"
	"github.com/ocireg/registry/registrytest/journal"
)

// These rules are for all uploads. Each comment describes the requests that break the
// rule.
const (
	UploadStart     Rule = "upload-start"     // the start of an upload in chunks without Content-Length: 0
	UploadAlgorithm Rule = "upload-algorithm" // an upload whose digest uses a different algorithm from the one announced at its start
	UploadLocation  Rule = "upload-location"  // a URL that is not a Location from the registry, or lacks its query
	LatestLocation  Rule = "latest-location"  // a URL that is not from the latest response of the session
	UploadType      Rule = "upload-type"      // content whose Content-Type is not application/octet-stream
	UploadDigest    Rule = "upload-digest"    // a PUT that closes a session without the parameter digest
	UploadOpen      Rule = "upload-open"      // an upload that the client neither ends nor cancels
	UploadAgain     Rule = "upload-again"     // an upload of a blob that the client knows to exist
)

var uploadChecks = []check{
	{
		UploadStart, "Pushing a blob in chunks",
		"The POST that starts an upload in chunks has a Content-Length of 0.",
		(*run).uploadStart,
	},
	{
		UploadAlgorithm, "Pushing a blob in chunks",
		"The POST that starts an upload in chunks has the parameter digest-algorithm unless the algorithm is sha256.",
		(*run).uploadAlgorithm,
	},
	{
		UploadLocation, "POST then PUT",
		"The URL of a request to an upload session is a Location from the registry, with its query; the client does not assemble it.",
		(*run).uploadLocation,
	},
	{
		LatestLocation, "Pushing a blob in chunks",
		"A request to an upload session uses the Location in the latest response.",
		(*run).latestLocation,
	},
	{
		UploadType, "POST then PUT, Single POST, Pushing a blob in chunks",
		"The content of a blob has the Content-Type application/octet-stream.",
		(*run).uploadType,
	},
	{
		UploadDigest, "Pushing a blob in chunks",
		"The PUT that closes an upload session has the parameter digest.",
		(*run).uploadDigest,
	},
	{
		UploadOpen, "Cancel a blob upload",
		"A client closes an upload session that it started, or cancels it with DELETE.",
		(*run).uploadOpen,
	},
	{
		UploadAgain, "Layer Upload De-duplication",
		"A client does not upload a blob to a repository that has it according to an earlier response.",
		(*run).uploadAgain,
	},
}

func (l *run) uploadStart() {
	for _, s := range l.sessions {
		r := s.start
		if r == nil || r.Op != registry.StartUpload || !s.inChunks() {
			continue
		}
		switch {
		case r.ContentLength > 0:
			l.found(r, "Content-Length is %d", r.ContentLength)
		case r.ContentLength < 0, r.Conn != 0 && r.RequestHeader.Get("Content-Length") == "":
			l.found(r, "there is no Content-Length")
		}
	}
}

func (l *run) uploadAlgorithm() {
	for _, s := range l.sessions {
		if s.start == nil || s.start.Op != registry.StartUpload || !s.inChunks() {
			continue
		}
		announced := s.start.URL.Query().Get("digest-algorithm")
		for _, r := range s.requests {
			if r.Op != registry.PutUpload || r.Digest == "" {
				continue
			}
			algorithm := r.Digest.Algorithm().String()
			if algorithm != announced && (announced != "" || algorithm != digest.Canonical.String()) {
				l.found(s.start, "digest-algorithm is %q, and the session was closed with %s", announced, algorithm)
			}
		}
	}
}

// A location is a URL in a response that the client has to use for a later request.
type location struct {
	from *journal.Record
	url  *url.URL
}

// matches reports whether u is the URL of the location, with or without more
// parameters.
func (g location) matches(u *url.URL) bool {
	if g.url.Path != u.Path {
		return false
	}
	query := u.Query()
	for name, values := range g.url.Query() {
		if !slices.Equal(values, query[name]) {
			return false
		}
	}
	return true
}

// locations calls check with each request of an upload session, and with the Locations
// in the earlier responses of the session.
func (l *run) locations(check func(r *journal.Record, before []location)) {
	for _, s := range l.sessions {
		var before []location
		note := func(r *journal.Record) {
			// A client may use the Location of a failed response, too. That of a 201
			// is usually the URL of a blob, but Amazon's registry responds to a chunk
			// with 201.
			if u := r.Location(); u != nil && !r.Ongoing && (r.Status != http.StatusCreated || r.Op == registry.PatchUpload) {
				before = append(before, location{r, u})
			}
		}
		if s.start != nil {
			note(s.start)
		}
		for _, r := range s.requests {
			check(r, before)
			note(r)
		}
	}
}

func (l *run) uploadLocation() {
	l.locations(func(r *journal.Record, before []location) {
		if len(before) == 0 {
			l.found(r, "the registry sent no Location for this session")
			return
		}
		last := before[len(before)-1].url
		for _, g := range before {
			if g.matches(r.URL) {
				return
			}
			if g.url.Path == r.URL.Path {
				last = g.url
			}
		}
		l.found(r, "the URL is %s, but Location was %s", r.URL.RequestURI(), last.RequestURI())
	})
}

func (l *run) latestLocation() {
	l.locations(func(r *journal.Record, before []location) {
		if r.Op != registry.PatchUpload && r.Op != registry.PutUpload {
			return
		}
		// The client may not have received a response that failed.
		heard := len(before)
		for heard > 0 && !succeeded(before[heard-1].from) {
			heard--
		}
		if heard == 0 || slices.ContainsFunc(before[heard-1:], func(g location) bool { return g.matches(r.URL) }) {
			return
		}
		for _, g := range before[:heard-1] {
			if g.matches(r.URL) {
				l.found(r, "the URL is from the response to request %d, but the response to request %d came after it", g.from.Number, before[heard-1].from.Number)
				return
			}
		}
	})
}

func (l *run) uploadType() {
	l.each(func(r *journal.Record) {
		if r.BytesIn == 0 {
			return
		}
		value := r.RequestHeader.Get("Content-Type")
		if t, _, _ := mime.ParseMediaType(value); t != "application/octet-stream" {
			l.found(r, "Content-Type is %q", value)
		}
	}, registry.PatchUpload, registry.PutUpload, registry.PostBlob)
}

func (l *run) uploadDigest() {
	l.each(func(r *journal.Record) {
		if !r.URL.Query().Has("digest") {
			l.found(r, "there is no digest in the query %q", r.URL.RawQuery)
		}
	}, registry.PutUpload)
}

func (l *run) uploadOpen() {
	for _, s := range l.sessions {
		if s.start == nil || !succeeded(s.start) || s.ledAway() {
			continue
		}
		open := true
		for _, r := range s.requests {
			switch {
			case r.Op == registry.CancelUpload, r.Status == http.StatusNotFound, r.Op == registry.PutUpload && succeeded(r):
				open = false
			case r.Op == registry.PutUpload && slices.ContainsFunc(r.Errors, isDigestInvalid):
				open = false // A wrong digest makes this registry end the session.
			case r.Op == registry.PutUpload:
				// If a fault hit the request, the session may or may not have ended.
				open = r.Fault == nil
			}
		}
		if open {
			l.found(s.start, "the session was left open after %s", hint.Count(len(s.requests), "more request"))
		}
	}
}

// ledAway reports whether the last Location of the session differs in its host or scheme
// from the URL of the session's first request. A client may refuse to send requests
// there, and this registry does not see the requests that it sends.
func (s *uploadSession) ledAway() bool {
	at := s.start.Location()
	for _, r := range s.requests {
		if to := r.Location(); to != nil && r.Status != http.StatusCreated {
			at = to
		}
	}
	return at != nil && (at.Host != s.start.URL.Host || at.Scheme != s.start.URL.Scheme)
}

func isDigestInvalid(e *registry.Error) bool { return e.Code == registry.CodeDigestInvalid }

func (l *run) uploadAgain() {
	type blob struct {
		repo   string
		digest digest.Digest
	}
	known := make(map[blob]*journal.Record)   // for each blob that a HEAD, a GET or a mount found, the first such request
	begun := make(map[string]*journal.Record) // the first request of each upload session
	for _, r := range l.records {
		b := blob{r.Repo, r.Digest}
		begin := r
		if first := begun[r.Session]; first != nil {
			begin = first
		} else if r.Session != "" {
			begun[r.Session] = r
		}
		switch r.Op {
		case registry.PutUpload, registry.PostBlob:
			// The client may finish an upload that it began before it knew of the blob.
			if by := known[b]; by != nil && by.Number < begin.Number && !end(by).After(begin.Start) {
				l.found(r, "the response to request %d, %v, said that the repository has the blob", by.Number, by)
			}
		case registry.DeleteBlob:
			if succeeded(r) {
				delete(known, b)
			}
		case registry.HeadBlob, registry.GetBlob, registry.MountBlob:
			if succeeded(r) && r.Status != http.StatusAccepted && known[b] == nil {
				known[b] = r
			}
		}
	}
}
