package profile

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

// The behaviours in this file concern uploads, and are shared by several
// registries.

// chunkOrderUnchecked returns the behaviour of a registry that ignores the
// Content-Range of chunks.
func chunkOrderUnchecked() behaviour {
	return behaviour{{decides: "chunks out of order", build: func(b *build, q *quirk) {
		var size bySession[int64]
		seen := onResponse(func(r *registry.Request, status int, h http.Header, _ func()) int {
			size.forget(r, status)
			_, last, _ := strings.Cut(h.Get("Range"), "-")
			if n, err := strconv.ParseInt(last, 10, 64); err == nil && r.Op == registry.PatchUpload {
				size.set(r.Session, n+1)
			}
			return status
		}, inSession...)
		ignore := ruleIf("patch-upload,put-upload has-header=Content-Range ignore=Content-Range", func(_ *build, r *registry.Request) bool {
			// The quirk has no effect on a chunk in order.
			n, _ := size.get(r.Session)
			return r.Header.Get("Content-Range") != fmt.Sprintf("%d-%d", n, n+r.ContentLength-1)
		})
		for _, p := range together(seen, ignore) {
			p.build(b, q)
		}
	}}}
}

// minChunk returns the behaviour of a registry that refuses a chunk if the one
// before has fewer bytes than size. Only the record of this refusal gets the
// quirk's receipt.
func minChunk(size int64) behaviour {
	refused := wrap(func(_ *build, _ http.ResponseWriter, _ *registry.Request, err error, note func()) error {
		all := errorsOf(err)
		// Other errors about sizes have the same code.
		if len(all) > 0 && all[0].Code == registry.CodeSizeInvalid && strings.Contains(all[0].Message, ": the chunk before has ") {
			note()
		}
		return err
	})
	return append(refused, part{decides: "the least size of a chunk", build: func(b *build, _ *quirk) {
		b.others = append(b.others, registry.WithMinChunk(size))
	}})
}

// probeOrderUnchecked is a probe of two chunks at wrong offsets. The second one
// ends the upload.
func probeOrderUnchecked(p *prober) string {
	first, last := p.text(10), p.text(10)
	r := p.chunk(p.start(), 100, first[:10])
	if r.status != http.StatusAccepted {
		return r.code()
	}
	end := param(p.location(r), "digest", string(digest.FromString(first[:10]+last)))
	return r.field("Range") + "; " + p.do("PUT", end, last, "Content-Type", "application/octet-stream",
		"Content-Range", fmt.Sprintf("200-%d", 199+len(last))).only()
}

// A bySession maps open upload sessions to values.
type bySession[T any] struct {
	mu     sync.Mutex
	values map[string]T
}

// get returns the value of the session, and whether it has one.
func (s *bySession[T]) get(id string) (value T, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok = s.values[id]
	return value, ok
}

// set sets the value of the session.
func (s *bySession[T]) set(id string, value T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values = make(map[string]T)
	}
	s.values[id] = value
}

// forget deletes the value of the request's session if a response with the status
// ends the session.
func (s *bySession[T]) forget(r *registry.Request, status int) {
	if status/100 == 2 && (r.Op == registry.PutUpload || r.Op == registry.CancelUpload) {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.values, r.Session)
	}
}

// inSession are the operations on an upload session.
var inSession = []registry.Op{registry.PatchUpload, registry.PutUpload, registry.GetUpload, registry.CancelUpload}

// frozenRange returns the behaviour of a registry that responds to each chunk that it
// stores with the Range of the first chunk of the session.
func frozenRange() behaviour {
	return behaviour{{decides: "the Range of chunks", build: func(b *build, q *quirk) {
		var first bySession[string]
		for _, p := range header(func(r *registry.Request, status int, h http.Header) int {
			first.forget(r, status)
			if r.Op != registry.PatchUpload || status/100 != 2 {
				return status
			}
			if frozen, ok := first.get(r.Session); ok {
				h.Set("Range", frozen)
			} else {
				first.set(r.Session, h.Get("Range"))
			}
			return status
		}, inSession...) {
			p.build(b, q)
		}
	}}}
}

// rangeOfBody returns the behaviour of a registry that counts only the bytes of
// the request in the Range of its response to a PATCH. The function reports
// whether it does so for a request.
func rangeOfBody(is func(r *registry.Request) bool) behaviour {
	return header(func(r *registry.Request, status int, h http.Header) int {
		if status == http.StatusAccepted && r.ContentLength > 0 && is(r) {
			h.Set("Range", fmt.Sprintf("0-%d", r.ContentLength-1))
		}
		return status
	}, registry.PatchUpload).deciding("the Range of chunks")
}

// A stateRule describes how a registry checks the parameter _state in the
// Location of an upload session. The parameter changes with each chunk.
type stateRule struct {
	missing registry.Error // response to a request without a valid state
	used    registry.Error // response to a request with the state from before the last chunk
	ends    bool           // whether a request with such a state ends the session
	free    registry.Op    // operation that requires no state, or UnknownOp
}

// invalidState is the error of Distribution 2.8, and registries based on it, for
// an invalid state.
var invalidState = registry.Error{Status: http.StatusNotFound, Code: registry.CodeBlobUploadInvalid, Message: "blob upload invalid"}

// uploadState returns the behaviour of a registry that adds a parameter _state
// to the Location of an upload session, and checks it as the rule says.
func uploadState(rule stateRule) behaviour {
	const name = "_state"
	return behaviour{{decides: "the Location of uploads", build: func(b *build, q *quirk) {
		key := []byte(rand.Text())
		sign := func(text string) string {
			h := hmac.New(sha256.New, key)
			h.Write([]byte(text))
			return hex.EncodeToString(h.Sum(nil)[:16])
		}
		var current bySession[string] // "" if a used state ended the session
		add := header(func(r *registry.Request, status int, h http.Header) int {
			current.forget(r, status)
			id, location := h.Get("Docker-Upload-Uuid"), h.Get("Location")
			u, err := url.Parse(location)
			if err != nil || location == "" || id == "" {
				return status
			}
			// The state depends on the Range, which has the number of received
			// bytes.
			state := sign(u.Path) + sign(u.Path+" "+h.Get("Range"))
			current.set(id, state)
			u.RawQuery = name + "=" + state
			h.Set("Location", u.String())
			return status
		}, append([]registry.Op{registry.StartUpload, registry.PostBlob, registry.MountBlob}, inSession...)...)
		check := refuse(func(_ *build, r *registry.Request) *registry.Error {
			state := r.URL.Query().Get(name)
			now, open := current.get(r.Session)
			e := rule.used
			switch {
			case r.Op == rule.free || open && state == now && now != "":
				return nil
			case !strings.HasPrefix(state, sign(r.URL.Path)):
				e = rule.missing
			case !open:
				return nil // the registry responds that the session is unknown
			case now == "":
				return &registry.Error{Code: registry.CodeBlobUploadUnknown, Message: "blob upload unknown to registry"}
			case rule.ends:
				current.set(r.Session, "")
			}
			return &e
		}, inSession...)
		for _, p := range together(add, check) {
			p.build(b, q)
		}
	}}}
}

// probeState is a probe of a chunk and of a status request without the state in
// the Location, and of two chunks with the same state.
func probeState(p *prober) string {
	session := p.start()
	bare, _, _ := strings.Cut(session, "?")
	missing := p.chunk(bare, 0, "0123456789").code()
	status := p.do("GET", bare, "").only()
	p.chunk(session, 0, "0123456789")
	return fmt.Sprintf("%s; status %s; used %s", missing, status, p.chunk(session, 10, "0123456789").code())
}

// rangeIsCount returns the behaviour of a registry that responds to the status
// request of an upload session without a Location, and with a Range whose end
// is the number of bytes instead of the offset of the last byte. The Range begins
// with the prefix.
func rangeIsCount(prefix string) behaviour {
	return header(func(_ *registry.Request, status int, h http.Header) int {
		first, last, ok := strings.Cut(h.Get("Range"), "-")
		n, err := strconv.Atoi(last)
		if status != http.StatusNoContent || !ok || err != nil {
			return status
		}
		h.Set("Range", prefix+first+"-"+strconv.Itoa(n+1))
		h.Del("Location")
		return status
	}, registry.GetUpload).deciding("the status of uploads")
}

// probeUploadStatus is a probe of the status of an upload session with ten
// bytes.
func probeUploadStatus(p *prober) string {
	r := p.do("GET", p.location(p.chunk(p.start(), 0, "0123456789")), "")
	if r.header.Get("Location") == "" {
		return r.field("Range") + ", no Location"
	}
	return r.field("Range")
}

// uploadHasBytes returns the behaviour of a registry that refuses a further
// PATCH if the upload session already has bytes. The function find returns the
// error.
func uploadHasBytes(find func(r *registry.Request) *registry.Error) behaviour {
	return behaviour{{build: func(b *build, q *quirk) {
		var begun bySession[bool]
		seen := onResponse(func(r *registry.Request, status int, _ http.Header, _ func()) int {
			begun.forget(r, status)
			if r.Op == registry.PatchUpload && status == http.StatusAccepted && r.ContentLength != 0 {
				begun.set(r.Session, true)
			}
			return status
		}, inSession...)
		check := refuse(func(_ *build, r *registry.Request) *registry.Error {
			if has, _ := begun.get(r.Session); !has {
				return nil
			}
			return find(r)
		}, registry.PatchUpload)
		for _, p := range together(seen, check) {
			p.build(b, q)
		}
	}}}
}

// probeOutOfOrder is a probe of a chunk out of order.
func probeOutOfOrder(p *prober) string {
	r := p.chunk(p.start(), 100, "0123456789")
	text := r.code()
	for _, name := range []string{"Location", "Range"} {
		if r.header.Get(name) == "" {
			text += ", no " + name
		}
	}
	return text
}

// probeLocationOrigin is a probe of the scheme and host in the Location of an
// upload session.
func probeLocationOrigin(p *prober) string {
	r := p.do("POST", p.path("blobs", "uploads/"), "")
	location, _, _ := strings.Cut(r.header.Get("Location"), "/v2/")
	return p.local(location)
}
