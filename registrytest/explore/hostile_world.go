package explore

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
)

// The hosts of the network.
const (
	registryHost = "registry.example.com"
	otherPort    = registryHost + ":8443"
	cdnHost      = "cdn.example.org"
	authHost     = "auth.example.com"
	attackerHost = "attacker.example.net"
	privateHost  = "10.20.30.40:5000"
	linkLocal    = "169.254.169.254" // the address of cloud services with credentials
)

// A hostileWorld is the registry and the other hosts of one run.
type hostileWorld struct {
	h       *hostile
	t       *T
	e       *encounter
	network *registrytest.Network // nil over loopback
	reg     *registrytest.Server
	login   *auth.Auth // or nil

	options   []registrytest.Option
	rules     []fault.Rule
	after     []func()            // when the registry runs and has its content
	at        string              // the host of the registry, registryHost if it is ""
	armed     atomic.Bool         // the setup has ended
	arrived   func()              // called for each request once armed is set
	otherType bool                // worthless referrers do not have the type of signatures
	intercept registry.Middleware // or nil
}

// start starts the registry.
func (w *hostileWorld) start(set func(*hostileWorld)) {
	w.arrived = func() {}
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
	// A rule that only counts sees every request, including those that other
	// rules redirect.
	w.rules = append(w.rules, fault.On().Optional().Where("counted", func(*registry.Request) bool {
		w.arrived()
		return false
	}).Delay(time.Second))
	for _, r := range w.rules {
		w.reg.Fault(&quietTest{}, r)
	}
}

func (w *hostileWorld) must(err error) {
	if err != nil {
		w.t.Fatalf("explore: %v", err)
	}
}

func (w *hostileWorld) fault(r fault.Rule) { w.rules = append(w.rules, r.Optional()) }

// host serves a handler at another host and returns its URL. It notes the
// secrets that arrive at the host, unless the host may have them.
func (w *hostileWorld) host(name string, handler http.Handler, mayHaveSecrets bool) string {
	spy := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.arrived()
		s := sighting{host: name, line: r.Method + " " + r.URL.RequestURI()}
		if !mayHaveSecrets || r.TLS == nil && w.h.https() {
			s.secret = w.secretOf(r)
		}
		w.e.note(s)
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
	if strings.Contains(name, ":") {
		w.network.Handle(name, spy, registrytest.WithTLS(registrytest.OnlyHTTP1))
		return "https://" + name
	}
	w.network.Handle(name, spy, registrytest.WithTLS(registrytest.OnlyHTTP1))
	return "https://" + name
}

// secretOf returns the secret in the request, or "".
func (w *hostileWorld) secretOf(r *http.Request) string {
	password := w.h.hostile().login.Password
	body, _ := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body))
	switch {
	case r.Header.Get("Authorization") != "":
		scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		return scheme + " credentials"
	case password != "" && bytes.Contains(body, []byte(password)):
		return "the password, in its body"
	case password != "" && strings.Contains(r.URL.RawQuery, password):
		return "the password, in its URL"
	}
	return ""
}

// mirror returns a handler that serves the content of the registry without
// credentials.
func (w *hostileWorld) mirror() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		registry.New(w.reg.Store).ServeHTTP(rw, r)
	})
}

// greedy returns a handler that asks for credentials of every scheme, and then
// calls another handler.
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

// attacker serves the registry's content at the attacker's host, after it has
// asked for credentials, and returns its URL.
func (w *hostileWorld) attacker() string { return w.host(attackerHost, greedy(w.mirror()), false) }

// tokens returns a token service whose tokens are worthless.
func tokens() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(rw, `{"token":"worthless","access_token":"worthless","expires_in":300}`)
	})
}

// put puts content into the registry's store.
func (w *hostileWorld) put(ref string, c content.Content) {
	w.must(content.Put(context.Background(), w.reg.Store, ref, c))
}

// otherImage returns an image that differs from those of all tests.
func otherImage() content.Content {
	return content.Image(content.Seed(0x0c1), content.LayerSizes(3000), content.Annotation("org.example.hostile", "yes"))
}

// moveTags points the tags that the operation pulls at the last content of the
// list. The others in the list are its parts, which it also pushes.
func (w *hostileWorld) moveTags(to ...content.Content) {
	w.after = append(w.after, func() {
		for _, ref := range w.h.base.tags() {
			for _, c := range to {
				w.put(ref, c)
			}
		}
	})
}
