package profile

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

// A ledger lists the content that a probe pushed, so that it can be deleted
// afterwards.
type ledger struct {
	manifests []pushed
	blobs     []pushed
	sessions  []session
}

// A pushed is a manifest or a blob that a probe pushed to a repository.
type pushed struct {
	repo   string
	digest digest.Digest
	tags   []string
}

// A session is an open upload session.
type session struct{ repo, path, location string }

// note records in the ledger the content that the request r created, according to
// the response got.
func (l *ledger) note(p *prober, r *http.Request, got reply) {
	parsed, _ := registry.ParseRequest(r)
	repo := parsed.Repo
	if repo == "" {
		repo = p.repo // the path of an upload need not name it
	}
	switch {
	case parsed.Op == registry.PutManifest:
		if got.status/100 == 2 {
			l.addManifest(parsed, got)
		}
	case got.status == http.StatusCreated && (r.Method == http.MethodPut || r.Method == http.MethodPost):
		query := r.URL.Query()
		for _, name := range []string{"digest", "mount"} {
			d := pushed{repo: repo, digest: digest.Digest(query.Get(name))}
			if d.digest != "" && !slices.ContainsFunc(l.blobs, d.same) {
				l.blobs = append(l.blobs, d)
			}
		}
		l.sessions = slices.DeleteFunc(l.sessions, func(s session) bool { return s.path == r.URL.Path })
	case got.status == http.StatusAccepted || got.status == http.StatusCreated && r.Method == http.MethodPatch:
		location := got.header.Get("Location")
		u, err := r.URL.Parse(location)
		if location == "" || err != nil || u.Scheme+"://"+u.Host != p.base || r.Method == http.MethodDelete {
			// The response begins no session, or the URL of the session is at another
			// host and not trusted. That session is left to expire.
			return
		}
		l.sessions = slices.DeleteFunc(l.sessions, func(s session) bool { return s.path == u.Path })
		l.sessions = append(l.sessions, session{repo, u.Path, u.String()})
	}
}

func (l *ledger) addManifest(r *registry.Request, got reply) {
	d := digest.Digest(got.header.Get("Docker-Content-Digest"))
	if d.Validate() != nil {
		body, err := r.GetBody()
		if err != nil {
			return
		}
		// The body is a string, so reading cannot fail.
		d, _ = digest.FromReader(body)
	}
	m := pushed{repo: r.Repo, digest: d}
	i := slices.IndexFunc(l.manifests, m.same)
	if i < 0 {
		i, l.manifests = len(l.manifests), append(l.manifests, m)
	}
	if r.Tag != "" && !slices.Contains(l.manifests[i].tags, r.Tag) {
		l.manifests[i].tags = append(l.manifests[i].tags, r.Tag)
	}
}

func (d pushed) same(o pushed) bool { return d.repo == o.repo && d.digest == o.digest }

// clean deletes the upload sessions, the manifests and the blobs in the ledger,
// in this order, and the latest of each kind first. If deletions in a repository
// fail in the same way, it returns one line for all content of a kind.
func (l *ledger) clean(p *prober) (left []string) {
	counts := make(map[string]int)
	keep := func(repo, kind, why string) {
		line := fmt.Sprintf("in %s, since the deletion of a %s is %s", repo, kind, why)
		if counts[line]++; counts[line] == 1 {
			left = append(left, line)
		}
	}
	at := func(repo string) *prober {
		other := *p
		other.repo, other.ledger = repo, nil
		return &other
	}
	for _, s := range slices.Backward(l.sessions) {
		if why := at(s.repo).delete(s.location); why != "" {
			keep(s.repo, "session", why)
		}
	}
	for _, m := range slices.Backward(l.manifests) {
		q := at(m.repo)
		if q.delete(q.path("manifests", string(m.digest))) == "" {
			continue
		}
		// Some registries delete a manifest only after its tags.
		for _, tag := range m.tags {
			if q.delete(q.path("manifests", tag)) != "" {
				break
			}
		}
		if why := q.delete(q.path("manifests", string(m.digest))); why != "" {
			keep(m.repo, "manifest", why)
		}
	}
	for _, b := range slices.Backward(l.blobs) {
		q := at(b.repo)
		if why := q.delete(q.path("blobs", string(b.digest))); why != "" {
			keep(b.repo, "blob", why)
		}
	}
	for i, line := range left {
		left[i] = fmt.Sprintf("%d %s", counts[line], line)
	}
	*l = ledger{}
	return left
}

// delete deletes the content at the target. It returns "" if the content no
// longer exists, and otherwise the response or the error.
func (p *prober) delete(target string) string {
	got := "an error"
	if _, err := p.run(func(p *prober) string {
		r := p.do("DELETE", target, "")
		if r.status/100 == 2 || r.status == http.StatusNotFound {
			got = ""
		} else {
			got = r.code()
		}
		return ""
	}); err != nil {
		return "not possible: " + err.Error()
	}
	return got
}
