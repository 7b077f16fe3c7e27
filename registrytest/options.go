package registrytest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/hint"
	"github.com/ocireg/registry/registrytest/journal"
)

// An Option changes a registry that this package starts. Every
// [registry.Option] is an Option. So is every value that has options for the
// handler, such as those of packages auth and lint.
//
// Such a value may have further methods, each of which [NewServer] calls:
//
//   - Err() error, first: an error fails the test, and no server starts.
//   - Exclusive() string returns the name of the one thing that the option
//     decides, such as "authentication". Two options that return the same name
//     fail the test, unless they are equal (==); then the second has no effect.
//   - CheckStore(registry.Store) error, when all options are known, if one of them
//     sets the store: an error fails the test, as an error of Err does.
//   - Observe(*journal.Journal), before the server starts.
//   - CheckRequests(journal.TB, journal.Requests), after the server was closed.
//   - Close() error, after the server was closed: an error is a failure of the
//     server.
//   - AfterTest(TB, *Server), last of all. [StartServer] refuses such an option.
//
// An option that is also a [registry.Store] is the store of the server, as if it
// were given with [WithStore].
//
// Options that add something combine. Two options that set the same thing to
// different values, such as two stores or two page sizes, fail the test.
type Option interface {
	// Options returns the options for the handler. Options of this package return
	// none, because they change the server.
	Options() []registry.Option
}

// Options returns an Option that applies all of opts, in order.
func Options(opts ...Option) Option { return group(opts) }

// Each of these interfaces has an optional method of an [Option].
type (
	invalid      interface{ Err() error }
	exclusive    interface{ Exclusive() string }
	observer     interface{ Observe(*journal.Journal) }
	storeChecker interface{ CheckStore(registry.Store) error }
	checker      interface {
		CheckRequests(journal.TB, journal.Requests)
	}
	closer    interface{ Close() error }
	afterTest interface{ AfterTest(TB, *Server) }
)

// settings are the values that the options of one server set.
type settings struct {
	given     []string          // the names of all options that were given
	needTest  []string          // the names of the options that need a test
	journaled []string          // the names of the options that need the journal
	handler   []registry.Option // options of the handler, in the order given
	exclusive map[string]decision
	stores    []storeChecker
	observers []observer
	checkers  []checker
	closers   []closer
	afterTest []afterTest

	store     registry.Store
	variant   TLSVariant
	bodies    int64
	last      int // the limit of WithLastRequests, or 0
	noJournal bool

	// Each function below does the work of an option, so that a test without the
	// option does not link that code.

	listen   func(*Server, *settings) error           // makes the server listen
	listener net.Listener                             // the listener of WithListener, or nil
	secure   func(s *Server, host string) *tls.Config // prepares the server for TLS, or is nil
	servers  []func(*http.Server)                     // the functions of WithHTTPServer
	logger   func(*Server) registry.Option            // makes the server log requests to the test, or is nil
}

// newSettings returns the settings that the options make, or an error if an
// option is not valid or contradicts another one.
func newSettings(opts []Option) (*settings, error) {
	s := &settings{exclusive: make(map[string]decision), listen: listenOnPort}
	if err := group(opts).apply(s); err != nil {
		return nil, err
	}
	if s.noJournal && len(s.journaled) > 0 {
		return nil, fmt.Errorf("WithoutJournal leaves %s without requests to read; leave one out", strings.Join(s.journaled, ", "))
	}
	for _, o := range s.stores {
		if s.store == nil {
			break // Every option accepts the default store, a memstore.Store.
		}
		if err := o.CheckStore(s.store); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// configure calls the functions of [WithHTTPServer] with the service's http.Server.
// It then restores the fields that these functions must not change.
func (s *settings) configure(to *service) {
	handler, connContext, connState := to.http.Handler, to.http.ConnContext, to.http.ConnState
	for _, configure := range s.servers {
		configure(&to.http)
	}
	to.http.Handler, to.http.ConnContext, to.http.ConnState = handler, connContext, connState
}

// An ownOption is an option of this package, or a group of options.
type ownOption interface {
	Option
	apply(*settings) error
}

// An option is an option of this package, such as [WithStore].
type option struct {
	name     string
	set      func(*settings)
	once     string // the setting that all options must set to the same value, or ""
	value    any    // the value of that setting, if once is not ""
	needTest bool
	isNil    bool // whether the argument of the With function is nil

	needJournal bool
}

func (option) Options() []registry.Option { return nil }

func (o option) apply(s *settings) error {
	if o.isNil {
		return fmt.Errorf("the argument of %s is nil; leave the option out", o.name)
	}
	s.given = append(s.given, o.name)
	if again, err := s.decide(o.once, decision{o.name, o.value}); again || err != nil {
		return err
	}
	if o.needTest {
		s.needTest = append(s.needTest, o.name)
	}
	if o.needJournal {
		s.journaled = append(s.journaled, o.name)
	}
	o.set(s)
	return nil
}

// A group is an Option that applies several options in order.
type group []Option

func (group) Options() []registry.Option { return nil }

func (g group) apply(s *settings) error {
	for _, o := range g {
		var err error
		if hint.IsNil(o) {
			err = errors.New("an option is nil; leave it out, or pass registrytest.Options() for one that changes nothing")
		} else if own, ok := o.(ownOption); ok {
			err = own.apply(s)
		} else {
			err = s.addHandlerOption(o)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A decision is the value that an option gives to a setting, such as the store.
type decision struct {
	option string // the name of the option
	value  any
}

// equal reports whether two decisions have the same value. Values that cannot be
// compared differ.
func (d decision) equal(other decision) bool {
	return hint.Comparable(d.value) && d.value == other.value
}

// decide notes that an option sets the named setting. It does nothing if the name
// is empty. It returns true if an earlier option set the same value, and an error if
// one set a different value.
func (s *settings) decide(thing string, d decision) (again bool, err error) {
	if thing == "" {
		return false, nil
	}
	other, decided := s.exclusive[thing]
	if decided && !d.equal(other) {
		return false, fmt.Errorf("%s and %s both set the %s; leave one out", other.option, d.option, thing)
	}
	s.exclusive[thing] = d
	return decided, nil
}

// addHandlerOption applies an option of another package.
func (s *settings) addHandlerOption(o Option) error {
	if o, ok := o.(invalid); ok {
		if err := o.Err(); err != nil {
			return err
		}
	}
	name := fmt.Sprintf("%T", o)
	if _, ok := o.(registry.Option); ok {
		name = "an option of package registry"
	} else if o, ok := o.(exclusive); ok {
		if again, err := s.decide(o.Exclusive(), decision{name, o}); again || err != nil {
			return err
		}
	}
	s.given = append(s.given, name)
	for _, part := range o.Options() {
		if e, ok := part.(exclusive); ok {
			// The text of the option has the value, as in "WithPageSize(2)".
			text := fmt.Sprint(part)
			if _, err := s.decide(e.Exclusive(), decision{text, text}); err != nil {
				return err
			}
		}
		if c, ok := part.(storeChecker); ok {
			s.stores = append(s.stores, c)
		}
		s.handler = append(s.handler, part)
	}
	if o, ok := o.(storeChecker); ok {
		s.stores = append(s.stores, o)
	}
	if store, ok := o.(registry.Store); ok {
		if _, err := s.decide("store", decision{name, o}); err != nil {
			return err
		}
		s.store = store
	}
	if o, ok := o.(closer); ok {
		s.closers = append(s.closers, o)
	}
	observes, isObserver := o.(observer)
	if isObserver {
		s.observers = append(s.observers, observes)
	}
	checks, isChecker := o.(checker)
	if isChecker {
		s.checkers = append(s.checkers, checks)
	}
	if isObserver || isChecker {
		s.journaled = append(s.journaled, name)
	}
	if o, ok := o.(afterTest); ok {
		s.afterTest = append(s.afterTest, o)
		s.needTest = append(s.needTest, name)
	}
	return nil
}

// WithStore makes a server that serves the content of the store, instead of
// an empty store in memory. The server does not close the store.
func WithStore(store registry.Store) Option {
	return option{name: "WithStore", once: "store", value: store, isNil: hint.IsNil(store), set: func(s *settings) { s.store = store }}
}

// WithInMemory makes a server that listens in memory, at 127.0.0.1:1, where
// only its [Server.Client] and [Server.Transport] reach it. The server makes no
// system calls, and package testing/synctest recognizes everything that waits:
// in a bubble, a client that backs off for five minutes takes no time. The
// bubble ends with the test if the test has closed the bodies of all responses.
// HTTP/2 in a bubble requires Go 1.26: before that, net/http ends the program, so
// use [OnlyHTTP1] with [WithTLS].
//
// For a host name instead of an address, see [Network.Registry].
func WithInMemory() Option {
	return option{name: "WithInMemory", set: func(s *settings) { s.listen = listenInMemory }}
}

// WithListener makes the server accept connections from the listener, instead of
// listening on a free port of 127.0.0.1. The server closes the listener. After an
// outage the server listens at the same address again.
func WithListener(l net.Listener) Option {
	return option{name: "WithListener", once: "listener", value: l, isNil: hint.IsNil(l), set: func(s *settings) { s.listener = l }}
}

// WithTLS makes a server that speaks HTTPS and HTTP/2. Its certificate is from
// a CA that [Server.Client] and [Server.Transport] trust, see [Server.CA]. If
// the server requires a client certificate, these two send one with the common
// name "client".
//
// The variants combine, including those of several WithTLS options.
func WithTLS(variants ...TLSVariant) Option {
	return option{name: "WithTLS", set: func(s *settings) {
		s.secure = secure
		for _, v := range variants {
			s.variant |= v
		}
	}}
}

// WithHTTPServer makes a server that calls configure before it listens. The
// function may set fields of the [http.Server], such as timeouts, ErrorLog and,
// with [WithTLS], TLSConfig. Handler, ConnContext and ConnState stay those of
// the server.
func WithHTTPServer(configure func(*http.Server)) Option {
	return option{name: "WithHTTPServer", isNil: configure == nil, set: func(s *settings) { s.servers = append(s.servers, configure) }}
}

// WithLogs makes a server that logs every request to the test after the response
// has ended. Without WithLogs, the server logs its requests only if the test
// fails.
func WithLogs() Option {
	return option{name: "WithLogs", needTest: true, set: func(s *settings) { s.logger = logToTest }}
}

// WithBodies makes a server whose journal keeps the first bytes of each body,
// up to the limit, as [journal.Record.RequestBody] and
// [journal.Record.ResponseBody]. If WithBodies is given several times, the
// largest limit counts.
func WithBodies(limit int64) Option {
	return option{name: "WithBodies", needJournal: true, set: func(s *settings) { s.bodies = max(s.bodies, limit) }}
}

// WithLastRequests makes a server whose journal keeps only the last n requests, or
// all if n is 0, see [journal.Journal.KeepLast]. Use it for a long-running server: a
// journal grows by about 1 KB with each request.
func WithLastRequests(n int) Option {
	return option{name: "WithLastRequests", once: "limit of the journal", value: n, needJournal: true, set: func(s *settings) { s.last = n }}
}

// WithoutJournal makes a server that keeps no record of its requests, for a
// long-running program: [Server.Requests] is always empty. An option that needs the
// requests, such as [WithBodies] or a linter, contradicts WithoutJournal.
func WithoutJournal() Option {
	return option{name: "WithoutJournal", set: func(s *settings) { s.noJournal = true }}
}
