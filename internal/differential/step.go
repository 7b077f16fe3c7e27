package differential

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A step of a sequence is one request, an upload of several requests, a sweep
// that compares all content, or a reopening of the store.
type step struct {
	method, target string
	header         []string // alternating names and values
	body           string

	// upload is the number of chunks in which a step uploads a blob to the target,
	// with POST, PATCH and PUT. It is 0 for any other step.
	upload int
	digest string

	sweep, reopen bool

	// chance decides the order of requests in a sweep, and the store that gets a
	// request.
	chance uint64
}

// String describes the step for a person.
func (s step) String() string {
	switch {
	case s.reopen:
		return "reopen"
	case s.sweep:
		return "compare everything"
	case s.upload > 0:
		return fmt.Sprintf("upload %s in %d chunks to %s", s.digest, s.upload, s.target)
	}
	text := s.method + " " + s.target
	if len(s.header) > 0 {
		text += " " + fmt.Sprint(s.header)
	}
	return text
}

// steps returns a random sequence of n steps and a final sweep. If restarts is
// set, some steps reopen the store.
func (u *universe) steps(rng *rand.Rand, n int, restarts bool) []step {
	steps := make([]step, 0, n+1)
	for range n {
		s := u.step(rng)
		switch {
		case rng.IntN(10) == 0:
			s = step{sweep: true}
		case restarts && rng.IntN(8) == 0:
			s = step{reopen: true}
		}
		s.chance = rng.Uint64()
		steps = append(steps, s)
	}
	return append(steps, step{sweep: true})
}

func (u *universe) step(rng *rand.Rand) step {
	repo := "/v2/" + u.repo(rng)
	blob, m := u.blobs[rng.IntN(len(u.blobs))], u.manifests[rng.IntN(len(u.manifests))]
	tag := u.tags[rng.IntN(len(u.tags))]
	switch n := rng.IntN(100); {
	case n < 22:
		if rng.IntN(2) == 0 {
			return step{method: "POST", target: repo + "/blobs/uploads/?digest=" + string(blob.digest), body: blob.content}
		}
		return step{target: repo, digest: string(blob.digest), body: blob.content, upload: 1 + rng.IntN(3)}
	case n < 30:
		from := "&from=" + u.repo(rng)
		if rng.IntN(3) == 0 {
			from = ""
		}
		return step{method: "POST", target: repo + "/blobs/uploads/?mount=" + string(blob.digest) + from}
	case n < 60:
		s := step{method: "PUT", body: m.content, header: []string{"Content-Type", m.mediaType}}
		switch rng.IntN(4) {
		case 0:
			s.target = repo + "/manifests/" + string(m.digest)
		case 1:
			s.target = repo + "/manifests/" + string(m.digest) + "?tag=" + tag + "&tag=more"
		default:
			s.target = repo + "/manifests/" + tag
		}
		switch rng.IntN(12) {
		case 0:
			s.header = append(s.header, "If-None-Match", "*")
		case 1:
			s.header = append(s.header, "If-Match", `"`+string(m.digest)+`"`)
		}
		return s
	case n < 70:
		return step{method: "DELETE", target: repo + "/manifests/" + string(m.digest)}
	case n < 75:
		return step{method: "DELETE", target: repo + "/manifests/" + tag}
	case n < 82:
		return step{method: "DELETE", target: repo + "/blobs/" + string(blob.digest)}
	case n < 86:
		return step{method: "GET", target: repo + "/blobs/" + string(blob.digest), header: []string{"Range", "bytes=2-5"}}
	default:
		return u.read(rng)[0]
	}
}

// repo returns the name of a random repository. It rarely returns the name of a
// repository that never exists.
func (u *universe) repo(rng *rand.Rand) string {
	if rng.IntN(40) == 0 {
		return "team/none"
	}
	return u.repos[rng.IntN(len(u.repos))]
}

// read returns requests that read all content of the universe, in random order.
func (u *universe) read(rng *rand.Rand) []step {
	var all []step
	get := func(target string) {
		all = append(all, step{method: "GET", target: "/v2/" + target})
	}
	for _, repo := range append(slices.Clone(u.repos), "team/none") {
		get(repo + "/tags/list")
		get(repo + "/manifests/" + string(u.manifests[0].digest))
		if repo == "team/none" {
			continue
		}
		for _, b := range u.blobs {
			get(repo + "/blobs/" + string(b.digest))
		}
		for _, m := range u.manifests {
			get(repo + "/manifests/" + string(m.digest))
			get(repo + "/referrers/" + string(m.digest))
		}
		for _, tag := range u.tags {
			get(repo + "/manifests/" + tag)
		}
		get(repo + "/tags/list?n=1&last=latest")
		get(repo + "/referrers/" + string(u.manifests[0].digest) + "?artifactType=" + url.QueryEscape("application/vnd.example.a"))
	}
	get("_catalog")
	get("_catalog?n=1")
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i := range all {
		if rng.IntN(4) == 0 && !strings.HasSuffix(all[i].target, "/tags/list") {
			all[i].method = "HEAD"
		}
	}
	return all
}

// A recorder is a response writer that keeps the response in memory.
type recorder struct {
	status int
	header http.Header
	body   strings.Builder
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

// send sends one request to the handler and returns the response. The header has
// alternating names and values.
func send(h http.Handler, method, target, body string, header ...string) (*recorder, error) {
	r, err := http.NewRequest(method, "http://registry.test"+target, io.NopCloser(strings.NewReader(body)))
	if err != nil {
		return nil, err
	}
	r.ContentLength = int64(len(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := &recorder{header: http.Header{}}
	h.ServeHTTP(w, r)
	w.WriteHeader(http.StatusOK)
	return w, nil
}

// run sends the requests of a step to the handler and returns the responses as
// text.
func (s step) run(h http.Handler) (string, error) {
	if s.upload == 0 {
		w, err := send(h, s.method, s.target, s.body, s.header...)
		if err != nil {
			return "", err
		}
		return w.String(), nil
	}
	w, err := send(h, "POST", s.target+"/blobs/uploads/", "")
	if err != nil || w.status != http.StatusAccepted {
		return w.String(), err
	}
	text, rest := "", s.body
	for i := range s.upload {
		text += w.String()
		method, target, part := "PATCH", w.header.Get("Location"), rest[:len(rest)/2]
		if i == s.upload-1 {
			method, target, part = "PUT", target+"?digest="+s.digest, rest
		}
		rest = rest[len(part):]
		if w, err = send(h, method, target, part); err != nil {
			return "", err
		}
	}
	return text + w.String(), nil
}

// compared has the names of the header fields to compare.
var compared = []string{"Content-Type", "Content-Length", "Content-Range", "Docker-Content-Digest", "Etag", "Link", "Oci-Subject", "Oci-Tag", "Oci-Filters-Applied", "Range"}

// String returns the parts of a response to compare: the status, some header
// fields and the body. Of an error, it has the codes and details, but not the
// messages.
func (r *recorder) String() string {
	if r == nil {
		return "no response\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d", r.status)
	if r.status >= 400 {
		var body struct {
			Errors []struct {
				Code   string
				Detail any
			}
		}
		if json.Unmarshal([]byte(r.body.String()), &body) == nil {
			fmt.Fprintf(&b, " %v", body.Errors)
		}
		return b.String() + "\n"
	}
	for _, name := range compared {
		if v := r.header[name]; v != nil {
			fmt.Fprintf(&b, " %s: %s", name, v)
		}
	}
	location := r.header.Get("Location")
	if path, _, ok := strings.Cut(location, "/blobs/uploads/"); ok {
		location = path
	}
	fmt.Fprintf(&b, " %s %s\n", location, r.body.String())
	return b.String()
}
