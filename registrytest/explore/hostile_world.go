package explore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
)

// These are the hosts in the network of one run of [Hostile].
const (
	registryHost = "registry.example.com"
	otherPort    = registryHost + ":8443"
	cdnHost      = "cdn.example.org"
	authHost     = "auth.example.com"
	attackerHost = "attacker.example.net"
	privateHost  = "10.20.30.40:5000"
	linkLocal    = "169.254.169.254" // the address of cloud services that hand out credentials
)

// A hostileWorld is the registry and the other hosts of one run.
type hostileWorld struct {
	h       *hostile
	t       *T
	e       *encounter
	network *registrytest.Network // nil over loopback
	reg     *registrytest.Server
	login   *auth.Auth // nil if the registry asks for no credentials

	options   []registrytest.Option
	rules     []fault.Rule
	after     []func()                                     // called when the registry runs and has its content
	at        string                                       // the host of the registry; "" means registryHost
	armed     atomic.Bool                                  // set when the setup has ended and the operation begins
	arrived   func() bool                                  // called for each request once armed is set; true if the request must wait
	over      chan struct{}                                // closed when the run is over
	otherType bool                                         // worthless referrers do not have the type of signatures
	intercept func(next registry.Handler) registry.Handler // the middleware of the trap or twin, or nil
}

// start prepares the trap or twin by calling set, starts the registry, and fills it by
// calling the setup.
func (w *hostileWorld) start(set func(*hostileWorld)) {
	w.arrived = func() bool { return false }
	w.over = make(chan struct{})
	if !w.h.loopback {
		w.network = registrytest.NewNetwork(w.t)
	}
	switch login := w.h.hostile().login; w.h.scheme {
	case "bearer":
		w.login = auth.Bearer()
		w.must(w.login.AddUser(login))
	case "basic":
		w.login = auth.Basic()
		w.must(w.login.AddUser(login))
	}
	set(w)
	if w.h.server != nil {
		w.options = append(w.options, w.h.server(w.t)...)
	}
	if w.login != nil {
		w.options = append(w.options, w.login)
	}
	w.options = append(w.options, registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		inner := next
		if w.intercept != nil {
			inner = w.intercept(next)
		}
		return func(rw http.ResponseWriter, r *registry.Request) error {
			if !w.armed.Load() {
				return next(rw, r)
			}
			return inner(rw, r)
		}
	}))
	if w.network != nil {
		w.reg = w.network.Registry(cmp.Or(w.at, registryHost), append(w.options, registrytest.WithTLS(registrytest.OnlyHTTP1))...)
	} else {
		w.reg = registrytest.NewServer(w.t, w.options...)
	}
	if w.h.setup != nil {
		w.h.setup(w.t, w.reg)
	}
	for _, f := range w.after {
		f()
	}
	// This rule counts requests, and makes those of a flood wait. It sees those that
	// other rules redirect, too.
	w.rules = append(w.rules, fault.On().Optional().Where("counted", func(*registry.Request) bool {
		return w.arrived()
	}).Delay(w.h.hold()))
	for _, r := range w.rules {
		w.reg.Fault(&quietTest{}, r)
	}
	w.t.Cleanup(func() { close(w.over) }) // before the other hosts are closed
}

func (w *hostileWorld) must(err error) {
	if err != nil {
		w.t.Fatalf("explore: %v", err)
	}
}

func (w *hostileWorld) fault(r fault.Rule) { w.rules = append(w.rules, r.Optional()) }

// host serves a handler at another host and returns its URL. It notes each
// request and the secret in it. With mayHaveSecrets it notes only secrets that
// arrive without TLS.
func (w *hostileWorld) host(name string, handler http.Handler, mayHaveSecrets bool) string {
	spy := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		wait := w.arrived()
		s := sighting{host: name, line: r.Method + " " + r.URL.RequestURI()}
		if !mayHaveSecrets || r.TLS == nil && w.h.https() {
			s.secret = w.secretOf(r)
		}
		w.e.note(s)
		if wait {
			select {
			case <-r.Context().Done():
			case <-w.over:
			}
			panic(http.ErrAbortHandler)
		}
		handler.ServeHTTP(rw, r)
	})
	if w.network == nil {
		server := httptest.NewServer(spy)
		w.t.Cleanup(server.Close)
		if name == otherPort {
			return server.URL
		}
		return strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	}
	w.network.Handle(name, spy, registrytest.WithTLS(registrytest.OnlyHTTP1))
	return "https://" + name
}

// secretOf describes the secret in the request, such as "the password, in its
// URL", or returns "".
func (w *hostileWorld) secretOf(r *http.Request) string {
	password := w.h.hostile().login.Password
	body, _ := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body))
	switch {
	case r.Header.Get("Authorization") != "":
		scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		return scheme + " credentials"
	case password != "" && shows(string(body), password):
		return "the password, in its body"
	case password != "" && shows(r.URL.RawQuery, password):
		return "the password, in its URL"
	}
	return ""
}

// shows reports whether the secret is in a text: literally, in a field of a form or
// query, or in a string of a JSON value.
func shows(text, secret string) bool {
	if strings.Contains(text, secret) {
		return true
	}
	fields, _ := url.ParseQuery(text) // ParseQuery returns the valid fields even with an error.
	for name, values := range fields {
		if strings.Contains(name, secret) || slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, secret) }) {
			return true
		}
	}
	var value any
	return json.Unmarshal([]byte(text), &value) == nil && strings.Contains(fmt.Sprint(value), secret)
}

// mirror returns a handler that serves the content of the registry without
// credentials.
func (w *hostileWorld) mirror() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		registry.New(w.reg.Store).ServeHTTP(rw, r)
	})
}

// greedy returns a handler that asks for Basic credentials. It calls next for
// requests that have any credentials, and for those to the token service.
func greedy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" && r.URL.Path != "/token" {
			rw.Header().Add("WWW-Authenticate", `Basic realm="attacker"`)
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(rw, r)
	})
}

// attacker serves the registry's content at attackerHost, to clients that send
// credentials. It returns the URL of the host.
func (w *hostileWorld) attacker() string { return w.host(attackerHost, greedy(w.mirror()), false) }

// tokens returns the handler of a token service whose tokens are worthless.
func tokens() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(rw, `{"token":"worthless","access_token":"worthless","expires_in":300}`)
	})
}

// put stores content in the registry directly, without a request.
func (w *hostileWorld) put(ref string, c content.Content) {
	w.must(content.Put(context.Background(), w.reg.Store, ref, c))
}

// otherImage returns an image that differs from all images of tests.
func otherImage() content.Content {
	return content.Image(content.Seed(0x0c1), content.LayerSizes(3000), content.Annotation("org.example.hostile", "yes"))
}

// moveTags points the tags that the operation pulls at the last item of the list.
// It also pushes the items before, whose blobs the last may refer to.
func (w *hostileWorld) moveTags(to ...content.Content) {
	w.after = append(w.after, func() {
		for _, ref := range w.h.base.tags() {
			for _, c := range to {
				w.put(ref, c)
			}
		}
	})
}
