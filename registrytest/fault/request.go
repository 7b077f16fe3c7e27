package fault

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
)

// The methods in this file change the request before the operation sees it, lose its
// upload session, or repeat it.

// Ignore serves the request as if it did not have the headers. A name with a ? in
// front is that of a parameter of the URL instead. Without Range, the whole blob is
// sent; lists have the parameters ?n, ?last and ?artifactType. With a value after an
// =, the request is served as if it had that value: Ignore("Range=bytes=0-49"),
// Ignore("?n=1000").
func (r Rule) Ignore(names ...string) Rule {
	r, p := r.addAgain("ignore", joinList(names))
	if len(names) == 0 {
		return r.refuse(errors.New("it needs the name of a header or, with a ? in front, of a parameter"))
	}
	p.changesRequest()
	for _, name := range names {
		name, value, instead := strings.Cut(name, "=")
		if parameter, ok := strings.CutPrefix(name, "?"); ok {
			p.try(ignoreParameter(parameter, value, instead))
			continue
		}
		if err := checkHeader(name, value); err != nil {
			return r.refuse(err)
		}
		p.try(ignoreHeader(name, value, instead))
	}
	return r
}

func ignoreHeader(name, value string, instead bool) func(*plan, *hit) {
	return func(p *plan, h *hit) {
		p.changeRequest(func(r *registry.Request) {
			if r.Header.Get(name) != value {
				h.met()
			}
			r.Header.Del(name)
			if instead {
				r.Header.Set(name, value)
			}
		})
	}
}

func ignoreParameter(name, value string, instead bool) func(*plan, *hit) {
	return func(p *plan, h *hit) {
		p.changeRequest(func(r *registry.Request) {
			query := r.URL.Query()
			if query.Has(name) != instead || query.Get(name) != value {
				h.met()
			}
			query.Del(name)
			if instead {
				query.Set(name, value)
			}
			r.URL.RawQuery = query.Encode()
		})
	}
}

// Keep keeps the first n bytes of the request's body, as if the client had gone away
// after them. The other bytes are read and dropped, so that the client has sent its
// whole request when it gets the response. For a chunk of an upload, the response is
// 416 with the Range of the bytes that were kept.
func (r Rule) Keep(n int64) Rule {
	r, p := r.addArg("keep", n)
	p.changesRequest()
	p.try(func(p *plan, h *hit) { p.limit(n, h, io.ErrUnexpectedEOF) })
	return r.refuse(atLeast(0, n)).only(p, registry.Op.HasBody, "the body of a request")
}

// Acknowledge stores only the first n bytes of a chunk or stream. It responds with 202
// and a Range that ends with these bytes.
func (r Rule) Acknowledge(n int64) Rule {
	r, p := r.addArg("acknowledge", n)
	p.changesRequest()
	p.try(func(p *plan, h *hit) { p.acknowledge(n, h) })
	return r.refuse(atLeast(0, n)).only(p, patches, "a chunk of an upload")
}

// LoseUpload forgets the upload session that the request names, as if it had
// expired at that moment.
func (r Rule) LoseUpload() Rule {
	r, p := r.addFlag("lose-upload")
	p.do(func(p *plan, _ *hit) { p.loseUpload = true })
	return r.only(p, registry.Op.HasSession, "an upload session")
}

// Duplicate carries out the operation twice, as if the request had arrived twice. A
// proxy that lost the response may send a request again. The response is that of
// the second time.
func (r Rule) Duplicate() Rule {
	r, p := r.addFlag("duplicate")
	p.changesRequest()
	p.do(func(p *plan, _ *hit) { p.duplicate = true })
	return r.only(p, registry.Op.Writes, "an effect on the content")
}

// requestWords has the words for the methods in this file.
var requestWords = vocabulary{
	{"ignore", list(Rule.Ignore)},
	{"keep", byteNumber(Rule.Keep)},
	{"acknowledge", byteNumber(Rule.Acknowledge)},
	{"lose-upload", flag(Rule.LoseUpload)},
	{"duplicate", flag(Rule.Duplicate)},
}

// changesRequest notes that the last word has no effect if the operation is not
// carried out.
func (p *part) changesRequest() { p.requestWord = p.word() }

func patches(op registry.Op) bool { return op == registry.PatchUpload }

// acknowledge shortens the chunk of an upload to its first n bytes.
func (p *plan) acknowledge(n int64, h *hit) {
	if p.request.Op != registry.PatchUpload {
		return
	}
	p.changeRequest(func(r *registry.Request) {
		if r.ContentLength > n {
			r.ContentLength = n
		}
		first, last, ok := field.ChunkRange(r.Header.Get("Content-Range"))
		if !ok || last-first < n {
			return
		}
		if n == 0 {
			r.Header.Del("Content-Range") // Content-Range has no form for an empty range.
			return
		}
		r.Header.Set("Content-Range", fmt.Sprintf("%d-%d", first, first+n-1))
	})
	p.limit(n, h, io.EOF)
}

// limit ends the body of the request after n bytes, with the error end. The other bytes
// are read and dropped, so that the client has sent its whole request when it gets the
// response.
func (p *plan) limit(n int64, h *hit, end error) {
	p.receive = append(p.receive, func(body io.ReadCloser) io.ReadCloser {
		return &limitedBody{body, n, h, end}
	})
}

type limitedBody struct {
	io.ReadCloser
	left int64
	hit  *hit
	end  error
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left > 0 {
		n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
		b.left -= int64(n)
		return n, err
	}
	n, err := io.Copy(io.Discard, b.ReadCloser)
	switch {
	case err != nil:
		return 0, err
	case n > 0:
		b.hit.met()
		return 0, b.end
	}
	return 0, io.EOF
}
