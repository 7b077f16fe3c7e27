package lint

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/registrytest/journal"
)

// These rules are for uploads in chunks. Each comment describes the requests that break
// the rule.
const (
	ContentRange Rule = "content-range" // a Content-Range that is not <first>-<last>
	ChunkLength  Rule = "chunk-length"  // a Content-Range that differs from the Content-Length
	ChunkOrder   Rule = "chunk-order"   // a chunk that does not start at the end of the chunk before it
	ChunkSize    Rule = "chunk-size"    // a chunk, not the last one, that is smaller than OCI-Chunk-Min-Length
)

var chunkChecks = []check{
	{
		ContentRange, "Pushing a blob in chunks",
		"The Content-Range of a chunk has the form <first>-<last>, without a unit and without a total.",
		(*run).contentRange,
	},
	{
		ChunkLength, "Pushing a blob in chunks",
		"The Content-Range of a chunk covers as many bytes as its Content-Length.",
		(*run).chunkLength,
	},
	{
		ChunkOrder, "Pushing a blob in chunks",
		"The first chunk starts at byte 0, and each other chunk at the end of the chunk before it.",
		(*run).chunkOrder,
	},
	{
		ChunkSize, "Pushing a blob in chunks",
		"Every chunk except the last has at least as many bytes as OCI-Chunk-Min-Length requires.",
		(*run).chunkSize,
	},
}

// chunkRange returns the range of a chunk in the Content-Range of its request.
func chunkRange(r *journal.Record) (first, last int64, ok bool) {
	return field.ChunkRange(r.RequestHeader.Get("Content-Range"))
}

// received returns the range of an upload in the Range of a response.
func received(r *journal.Record) (first, last int64, ok bool) {
	return field.ChunkRange(r.ResponseHeader.Get("Range"))
}

func (l *run) contentRange() {
	l.each(func(r *journal.Record) {
		value := r.RequestHeader.Get("Content-Range")
		first, last, ok := chunkRange(r)
		switch {
		case value == "":
		case !ok:
			l.found(r, "Content-Range is %q", value)
		case last < first:
			l.found(r, "Content-Range is %q, which ends before it begins", value)
		}
	}, registry.PatchUpload, registry.PutUpload)
}

func (l *run) chunkLength() {
	l.each(func(r *journal.Record) {
		first, last, ok := chunkRange(r)
		if ok && r.ContentLength >= 0 && last-first+1 != r.ContentLength {
			l.found(r, "Content-Range is %s, but Content-Length is %d", r.RequestHeader.Get("Content-Range"), r.ContentLength)
		}
	}, registry.PatchUpload, registry.PutUpload)
}

func (l *run) chunkOrder() {
	for _, s := range l.sessions {
		if s.start == nil {
			continue
		}
		next := int64(0)           // the offset that the client knows of, or -1 if it knows none
		var failed *journal.Record // the last request that failed, or nil after a success
		for _, r := range s.requests {
			before := failed
			if succeeded(r) {
				failed = nil
			} else if r.Op != registry.GetUpload && r.Status != http.StatusRequestedRangeNotSatisfiable {
				failed = r
			}
			if r.Op == registry.PatchUpload || r.Op == registry.PutUpload {
				if first, _, ok := chunkRange(r); ok && next >= 0 && first != next {
					text := fmt.Sprintf("the chunk begins at byte %d, but the next byte is %d", first, next)
					if before != nil {
						text += fmt.Sprintf("; after request %d, which failed, a GET of the upload's Location tells which bytes the registry has", before.Number)
					}
					l.found(r, "%s", text)
				}
				switch {
				case succeeded(r) && next >= 0:
					next += r.BytesIn
					if _, last, ok := received(r); ok && last > 0 && last+1 != next {
						next = -1 // Range contradicts the number of bytes that the registry accepted.
					}
					continue
				case r.Status != http.StatusRequestedRangeNotSatisfiable:
					next = -1
				}
			}
			// A Range of 0-0 stands for one byte or for none.
			if _, last, ok := received(r); ok && last > 0 {
				next = last + 1
			}
		}
	}
}

func (l *run) chunkSize() {
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
