package fault

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ocireg/registry"
)

// Location changes the URL in the header Location of the response and, in a list, the
// URL in Link.
//
//	Location("https://cdn.example.com")        // this host, with the same path
//	Location("https://s3.test/{repo}/{digest}") // this URL
//	Location("{origin}")                       // absolute, with the host of the request
//	Location(".")                              // relative to the URL of the request
//	Location("?n=5&last")                      // with n=5 and without last, otherwise unchanged
//	Location("?_state={state}")                // with a state that the client has to send back
//
// {origin}, {repo}, {tag} and {digest} stand for parts of the request.
//
// If a rule responds with a Status from 300 to 399, its response has no Location to
// change. Location then starts from the URL of the request: "" redirects the client
// in a loop.
//
// {state} stands for a value that is new in each Location of an upload session. A
// request of the session that does not send the value of the last Location gets 404
// BLOB_UPLOAD_INVALID. The rule has to hit all requests of the session, so use a rule
// for all operations.
func (r Rule) Location(to string) Rule {
	r, p := r.addArg("location", to)
	d, err := parseDestination(to)
	if err != nil {
		return r.refuse(err)
	}
	if d.state != "" {
		r = r.only(p, registry.Op.HasSession, "an upload session")
		p.do(func(p *plan, h *hit) {
			p.waits = append(p.waits, func(*registry.Request) error { return d.check(p.request, h) })
		})
	}
	p.try(func(p *plan, h *hit) {
		p.headers = append(p.headers, func(status int, header http.Header) int {
			d.lead(p.request, h, status, header)
			return status
		})
	})
	return r
}

// locationWords has the words for the methods in this file.
var locationWords = vocabulary{{"location", text(Rule.Location)}}

// lead changes the URLs in the header of a response, in Location and Link.
func (d *destination) lead(r *registry.Request, h *hit, status int, header http.Header) {
	was := header.Get("Location")
	if was == "" && 300 <= status && status < 400 && d.state == "" {
		header.Set("Location", d.from(r, r.URL.RequestURI(), h))
		h.met()
	} else if was != "" {
		header.Set("Location", d.change(r, h, was))
	}
	if r.Op == registry.PutUpload && status == http.StatusCreated || r.Op == registry.CancelUpload && status < 300 {
		h.of.forget(r.Session)
	}
	links := slices.Clone(header["Link"])
	for i, link := range links {
		before, rest, ok := strings.Cut(link, "<")
		target, rest, closed := strings.Cut(rest, ">")
		if ok && closed {
			links[i] = before + "<" + d.change(r, h, target) + ">" + rest
		}
	}
	if len(links) > 0 {
		header["Link"] = links
	}
}

// change returns the URL that replaces a URL of the response. If the two differ, it
// notes that the rule has had an effect.
func (d *destination) change(r *registry.Request, h *hit, was string) string {
	next := d.from(r, was, h)
	if next != was {
		h.met()
	}
	return next
}

// A destination is the argument of [Rule.Location].
type destination struct {
	text  string // the URL without its parameters
	query string
	whole bool   // whether the text replaces all of a URL
	state string // the name of the parameter for the state, or ""
}

// placeholders are the words in braces that a destination may have.
var placeholders = []string{"{origin}", "{repo}", "{tag}", "{digest}", "{state}"}

func parseDestination(to string) (d destination, err error) {
	d.text, d.query, _ = strings.Cut(to, "?")
	for rest := to; err == nil; {
		_, after, open := strings.Cut(rest, "{")
		if !open {
			break
		}
		name, after, _ := strings.Cut(after, "}")
		if name = "{" + name + "}"; !slices.Contains(placeholders, name) {
			err = fmt.Errorf("no part of a URL is called %s%s", name, didYouMean(name, placeholders))
		}
		rest = after
	}
	for _, pair := range strings.Split(d.query, "&") {
		if name, value, _ := strings.Cut(pair, "="); value == "{state}" && d.state == "" {
			d.state = name
		}
	}
	u, parseErr := url.Parse(strings.NewReplacer("{origin}", "http://host", "{", "", "}", "").Replace(to))
	switch {
	case err != nil:
	case parseErr != nil:
		err = errors.New("not a URL")
	case strings.Count(to, "{state}") > 1 || strings.Contains(to, "{state}") && d.state == "":
		err = errors.New("{state} must be the value of one parameter, as in ?_state={state}")
	case strings.LastIndex(to, "{origin}") > 0:
		err = errors.New("{origin} must be at the beginning of the URL")
	default:
		d.whole = u.Path != "" && d.text != "."
	}
	return d, err
}

// from returns the URL that replaces a URL of the response. A destination with a state
// replaces only URLs of upload sessions, and from returns other URLs unchanged.
func (d *destination) from(r *registry.Request, was string, h *hit) string {
	query := d.query
	if d.state != "" {
		session, ok := sessionIn(was)
		if !ok {
			return was
		}
		query = strings.Replace(query, "{state}", h.of.nextState(session), 1)
	}
	fill := strings.NewReplacer("{origin}", origin(r), "{repo}", r.Repo, "{tag}", r.Tag, "{digest}", string(r.Digest))
	text, query := fill.Replace(d.text), fill.Replace(query)
	switch {
	case d.whole && query != "":
		return text + "?" + query
	case d.whole:
		return text
	case d.text == ".":
		was = relative(r.URL.EscapedPath(), withoutOrigin(r, was))
	case text != "":
		was = text + withoutHost(absolute(r, was))
	}
	return setParameters(was, query)
}

// check returns an error if a request of an upload session does not have the state in
// the last Location of the session.
func (d *destination) check(r *registry.Request, h *hit) error {
	want, ok := h.of.state(r.Session)
	got := r.URL.Query().Get(d.state)
	if !ok || got == want {
		return nil
	}
	e := registry.Errorf(registry.CodeBlobUploadInvalid, "%s is %q, and not %q as in the last Location of the upload session", d.state, got, want)
	e.Status = http.StatusNotFound
	return e
}

// nextState returns a new state for the upload session, and remembers it.
func (in *injector) nextState(session string) string {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.states == nil {
		in.states = make(map[string]int)
	}
	in.states[session]++
	return strconv.Itoa(in.states[session])
}

// forget drops the state of an upload session that ended.
func (in *injector) forget(session string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.states, session)
}

// state returns the state of the upload session, if the session has a state.
func (in *injector) state(session string) (state string, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	n, ok := in.states[session]
	return strconv.Itoa(n), ok
}

// sessionIn returns the ID of the upload session that a URL has, if any.
func sessionIn(location string) (id string, ok bool) {
	path, _, _ := strings.Cut(location, "?")
	i := strings.LastIndexByte(path, '/')
	return path[i+1:], strings.HasSuffix(path[:i+1], "/blobs/uploads/")
}

// origin returns the scheme and the host of the URL that the client requested.
func origin(r *registry.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// withoutHost returns a URL without its scheme and host.
func withoutHost(location string) string {
	_, rest, absolute := strings.Cut(location, "://")
	if !absolute || strings.ContainsAny(location[:len(location)-len(rest)-3], "/?") {
		return location
	}
	i := strings.IndexByte(rest, '/')
	if i < 0 {
		return "/"
	}
	return rest[i:]
}

// withoutOrigin returns a URL without its scheme and host if these are the origin of
// the request. It returns other URLs as they are.
func withoutOrigin(r *registry.Request, location string) string {
	if rest, ok := strings.CutPrefix(location, origin(r)); ok && strings.HasPrefix(rest, "/") {
		return rest
	}
	return location
}

// absolute resolves a URL that is relative to the URL of the request. It returns other
// URLs as they are.
func absolute(r *registry.Request, location string) string {
	u, err := url.Parse(location)
	if err != nil || u.IsAbs() || strings.HasPrefix(location, "/") {
		return location
	}
	return r.URL.ResolveReference(u).RequestURI()
}

// relative returns its second path, which may have a query, as a reference that is
// relative to the first path (RFC 3986, section 5.2.2).
func relative(from, to string) string {
	if !strings.HasPrefix(to, "/") {
		return to
	}
	up := ""
	dir := from[:strings.LastIndexByte(from, '/')+1]
	for !strings.HasPrefix(to, dir) {
		dir = dir[:strings.LastIndexByte(dir[:len(dir)-1], '/')+1]
		up += "../"
	}
	to = up + to[len(dir):]
	if first, _, _ := strings.Cut(to, "/"); to == "" || to[0] == '?' || strings.Contains(first, ":") {
		return "./" + to
	}
	return to
}

// setParameters returns a URL with the parameters of a query added or replaced. It
// removes a parameter that has no = in the query.
func setParameters(location, query string) string {
	path, rest, _ := strings.Cut(location, "?")
	if query == "" {
		return location
	}
	var pairs []string
	if rest != "" {
		pairs = strings.Split(rest, "&")
	}
	for _, pair := range strings.Split(query, "&") {
		name, _, given := strings.Cut(pair, "=")
		i := len(pairs) - 1
		for i >= 0 && pairs[i] != name && !strings.HasPrefix(pairs[i], name+"=") {
			i--
		}
		switch {
		case given && i >= 0:
			pairs[i] = pair
		case given:
			pairs = append(pairs, pair)
		case i >= 0:
			pairs = append(pairs[:i], pairs[i+1:]...)
		}
	}
	if len(pairs) == 0 {
		return path
	}
	return path + "?" + strings.Join(pairs, "&")
}
