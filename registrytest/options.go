package registrytest

import (
	"errors"
	"fmt"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/journal"
)

// An Option changes a registry that this package starts. Every
// [registry.Option] is an Option. So is every value that brings options for the
// handler, such as those of packages auth and lint.
//
// Such a value may have further methods, each of which [NewServer] calls:
//
//   - Err() error, first: an error fails the test, and no server starts.
//   - Exclusive() string returns the name of the one thing that the option
//     decides, such as "authentication". Two options that return the same name
//     fail the test.
//   - Observe(*journal.Journal), before the server starts.
//   - CheckRequests(journal.TB, journal.Requests), after the server was closed.
type Option interface {
	// Options returns the options for the handler. The options of this package
	// return none: they change the server.
	Options() []registry.Option
}

// Options returns an Option that applies all of opts, in order.
func Options(opts ...Option) Option { return group(opts) }

// The optional methods of an Option.
type (
	invalid   interface{ Err() error }
	exclusive interface{ Exclusive() string }
	observer  interface{ Observe(*journal.Journal) }
	checker   interface {
		CheckRequests(journal.TB, journal.Requests)
	}
)

// settings is what the options of one server set.
type settings struct {
	given     []string          // the names of the options
	handler   []registry.Option // in the order that they were given
	exclusive map[string]string // what an option decides -> its name
	observers []observer
	checkers  []checker

	store    registry.Store
	tls      bool
	variant  TLSVariant
	inMemory bool
	logs     bool
	bodies   int64
	external string // the address of another registry, or ""
	env      string // the environment variable with that address, or ""

	// prepare is called with a server before its handler is made.
	prepare []func(*Server)
}

// newSettings returns the settings that the options make, or an error if an
// option is not valid or contradicts another one.
func newSettings(opts []Option) (*settings, error) {
	s := &settings{exclusive: make(map[string]string)}
	return s, group(opts).apply(s)
}

// An ownOption is an option of this package.
type ownOption interface {
	Option
	apply(*settings) error
}

// An option is one option of this package.
type option struct {
	name string
	set  func(*settings)
	once string // the thing that no other option may set, or ""
}

func (option) Options() []registry.Option { return nil }

func (o option) apply(s *settings) error {
	if err := s.add(o.name, o.once); err != nil {
		return err
	}
	o.set(s)
	return nil
}

// A group is several options.
type group []Option

func (group) Options() []registry.Option { return nil }

func (g group) apply(s *settings) error {
	for _, o := range g {
		var err error
		switch o := o.(type) {
		case nil:
			err = errors.New("an option is nil; leave it out, or pass registrytest.Options() for one that changes nothing")
		case ownOption:
			err = o.apply(s)
		default:
			err = s.addForeign(o)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// add notes an option and the thing that it alone decides, if that is not "".
func (s *settings) add(name, decides string) error {
	s.given = append(s.given, name)
	if decides == "" {
		return nil
	}
	if other, ok := s.exclusive[decides]; ok {
		return fmt.Errorf("%s and %s both set the %s; leave one out", other, name, decides)
	}
	s.exclusive[decides] = name
	return nil
}

// addForeign applies an option of another package.
func (s *settings) addForeign(o Option) error {
	if o, ok := o.(invalid); ok {
		if err := o.Err(); err != nil {
			return err
		}
	}
	name, decides := fmt.Sprintf("%T", o), ""
	if _, ok := o.(registry.Option); ok {
		name = "an option of package registry"
	}
	if o, ok := o.(exclusive); ok {
		decides = o.Exclusive()
	}
	if err := s.add(name, decides); err != nil {
		return err
	}
	s.handler = append(s.handler, o.Options()...)
	if o, ok := o.(observer); ok {
		s.observers = append(s.observers, o)
	}
	if o, ok := o.(checker); ok {
		s.checkers = append(s.checkers, o)
	}
	return nil
}

// WithStore makes a server that serves the content of the store, instead of
// an empty store in memory. The server does not close the store.
func WithStore(store registry.Store) Option {
	return option{name: "WithStore", once: "store", set: func(s *settings) { s.store = store }}
}

// WithInMemory makes a server that listens in memory, at 127.0.0.1:1, where
// only its [Server.Client] and [Server.Transport] reach it. The server makes no
// system calls, and package testing/synctest recognizes everything that waits:
// in a bubble, a client that backs off for five minutes takes no time. The
// bubble ends with the test, if the client has closed the bodies of all
// responses.
//
// For a name instead of an address, see [Network.Registry].
func WithInMemory() Option {
	return option{name: "WithInMemory", set: func(s *settings) { s.inMemory = true }}
}

// WithLogs makes a server that logs every request to the test once it is
// answered. Without WithLogs, the server logs its requests only if the test
// fails.
func WithLogs() Option {
	return option{name: "WithLogs", set: func(s *settings) { s.logs = true }}
}

// WithBodies makes a server whose journal keeps the first bytes of each body,
// up to the limit, as [journal.Record.RequestBody] and
// [journal.Record.ResponseBody]. If WithBodies is given several times, the
// largest limit counts.
func WithBodies(limit int64) Option {
	return option{name: "WithBodies", set: func(s *settings) {
		s.bodies = max(s.bodies, limit)
	}}
}
