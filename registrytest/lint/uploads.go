package lint

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/registrytest/journal"
)

// chunk returns the range that the request says it uploads. It is not ok if
// the request says nothing of the kind.
func chunk(r *journal.Record) (first, last int64, ok bool) {
	return field.ChunkRange(r.RequestHeader.Get("Content-Range"))
}

// received returns the range that the answer says was uploaded.
func received(r *journal.Record) (first, last int64, ok bool) {
	return field.ChunkRange(r.ResponseHeader.Get("Range"))
}

func (l *lint) contentRange() {
	l.each(func(r *journal.Record) {
		value := r.RequestHeader.Get("Content-Range")
		first, last, ok := chunk(r)
		switch {
		case value == "":
		case !ok:
			l.found(r, "Content-Range is %q", value)
		case last < first:
			l.found(r, "Content-Range is %q, which ends before it begins", value)
		}
	}, registry.PatchUpload, registry.PutUpload)
}

func (l *lint) chunkLength() {
	l.each(func(r *journal.Record) {
		first, last, ok := chunk(r)
		if ok && r.ContentLength >= 0 && last-first+1 != r.ContentLength {
			l.found(r, "Content-Range is %s, but Content-Length is %d", r.RequestHeader.Get("Content-Range"), r.ContentLength)
		}
	}, registry.PatchUpload, registry.PutUpload)
}

func (l *lint) chunkOrder() {
	for _, s := range l.sessions {
		if s.start == nil {
			continue
		}
		next := int64(0) // the offset that the client knows of, or -1
		for _, r := range s.requests {
			if r.Op == registry.PatchUpload || r.Op == registry.PutUpload {
				if first, _, ok := chunk(r); ok && next >= 0 && first != next {
					l.found(r, "the chunk begins with byte %d, the next was %d", first, next)
				}
				switch {
				case succeeded(r) && next >= 0:
					next += r.BytesIn
					if _, last, ok := received(r); ok && last > 0 && last+1 != next {
						next = -1 // Whom should the client believe?
					}
					continue
				case r.Status != http.StatusRequestedRangeNotSatisfiable:
					next = -1
				}
			}
			// 0-0 can be one byte or none.
			if _, last, ok := received(r); ok && last > 0 {
				next = last + 1
			}
		}
	}
}

func (l *lint) chunkSize() {
	for _, s := range l.sessions {
		if s.start == nil {
			continue
		}
		least, err := strconv.ParseInt(s.start.ResponseHeader.Get("OCI-Chunk-Min-Length"), 10, 64)
		if err != nil {
			continue
		}
		var before *journal.Record
		for _, r := range s.requests {
			if r.Op != registry.PatchUpload && r.Op != registry.PutUpload || r.ContentLength == 0 {
				continue
			}
			if before != nil && before.BytesIn < least {
				l.found(before, "the chunk has %d bytes, is not the last, and should have at least %d", before.BytesIn, least)
			}
			before = nil
			if succeeded(r) {
				before = r
			}
		}
	}
}

// inChunks reports whether any part of the session was uploaded with PATCH.
func (s *uploadSession) inChunks() bool {
	return slices.ContainsFunc(s.requests, func(r *journal.Record) bool { return r.Op == registry.PatchUpload })
}

func (l *lint) uploadStart() {
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

func (l *lint) uploadAlgorithm() {
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

// A given is a URL that a client has been given for its next request.
type given struct {
	by  *journal.Record
	url *url.URL
}

// has reports whether a client that was given the URL may have made the one of
// the request from it, by adding parameters.
func (g given) has(u *url.URL) bool {
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

// locations calls check with each request of a session and the Locations that
// were given before it.
func (l *lint) locations(check func(r *journal.Record, before []given)) {
	for _, s := range l.sessions {
		var before []given
		note := func(r *journal.Record) {
			// Of a request that failed the client may or may not have an answer.
			if u := r.Location(); u != nil && !r.Ongoing && r.Status != http.StatusCreated {
				before = append(before, given{r, u})
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

func (l *lint) uploadLocation() {
	l.locations(func(r *journal.Record, before []given) {
		if len(before) == 0 {
			l.found(r, "the registry has given no Location for this session")
			return
		}
		last := before[len(before)-1].url
		for _, g := range before {
			if g.has(r.URL) {
				return
			}
			if g.url.Path == r.URL.Path {
				last = g.url
			}
		}
		l.found(r, "the URL is %s, where Location was %s", r.URL.RequestURI(), last.RequestURI())
	})
}

func (l *lint) latestLocation() {
	l.locations(func(r *journal.Record, before []given) {
		if r.Op != registry.PatchUpload && r.Op != registry.PutUpload {
			return
		}
		// What nobody has told the client is not held against it.
		heard := len(before)
		for heard > 0 && !succeeded(before[heard-1].by) {
			heard--
		}
		if heard == 0 || slices.ContainsFunc(before[heard-1:], func(g given) bool { return g.has(r.URL) }) {
			return
		}
		for _, g := range before[:heard-1] {
			if g.has(r.URL) {
				l.found(r, "the URL is from the answer to request %d, but the one to request %d came after it", g.by.Number, before[heard-1].by.Number)
				return
			}
		}
	})
}

func (l *lint) uploadType() {
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

func (l *lint) uploadDigest() {
	l.each(func(r *journal.Record) {
		if !r.URL.Query().Has("digest") {
			l.found(r, "there is no digest in the query %q", r.URL.RawQuery)
		}
	}, registry.PutUpload)
}

func (l *lint) uploadOpen() {
	for _, s := range l.sessions {
		if s.start == nil || !succeeded(s.start) {
			continue
		}
		open := true
		for _, r := range s.requests {
			switch {
			case r.Op == registry.CancelUpload, r.Status == http.StatusNotFound, r.Op == registry.PutUpload && succeeded(r):
				open = false
			case r.Op == registry.PutUpload && slices.ContainsFunc(r.Errors, isDigestInvalid):
				open = false // This registry ends the session then.
			case r.Op == registry.PutUpload:
				// Where a fault has hit, nobody knows.
				open = r.Fault == nil
			}
		}
		if open {
			l.found(s.start, "the session was left open after %d more requests", len(s.requests))
		}
	}
}

func isDigestInvalid(e *registry.Error) bool { return e.Code == registry.CodeDigestInvalid }

func (l *lint) uploadAgain() {
	type blob struct {
		repo   string
		digest digest.Digest
	}
	there := make(map[blob]*journal.Record)   // who has said so
	begun := make(map[string]*journal.Record) // the first requests of sessions
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
			// Who has begun already may go on.
			if by := there[b]; by != nil && by.Number < begin.Number && !end(by).After(begin.Start) {
				l.found(r, "request %d, %v, has said that the blob is there", by.Number, by)
			}
		case registry.DeleteBlob:
			if succeeded(r) {
				delete(there, b)
			}
		case registry.HeadBlob, registry.GetBlob, registry.MountBlob:
			if succeeded(r) && r.Status != http.StatusAccepted && there[b] == nil {
				there[b] = r
			}
		}
	}
}
