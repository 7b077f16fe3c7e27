package registrytest

import (
	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/lint"
)

// settings is what the options of this package set, and those of package
// registry that came with them.
type settings struct {
	handler  []registry.Option
	store    registry.Store
	tls      bool
	variant  TLSVariant
	inMemory bool
	logs     bool
	external string // the address of another registry, or ""
	env      string // where the address is from
	given    int    // how many options

	// prepare is done to a server before its handler is made.
	prepare []func(*Server)
}

// option is an option of this package. It stands among those of package
// registry, which it is one of, but does nothing to a handler.
type option struct {
	registry.Option
	set func(*settings)
}

// Options returns the option itself.
func (o option) Options() []registry.Option { return []registry.Option{o} }

func newOption(set func(*settings)) registry.Option {
	return option{registry.Options(), set}
}

func newSettings(opts []registry.Option) *settings {
	s := &settings{}
	s.add(opts)
	return s
}

func (s *settings) add(opts []registry.Option) {
	for _, o := range opts {
		for _, o := range o.Options() {
			s.given++
			if own, ok := o.(option); ok {
				own.set(s)
			} else {
				s.handler = append(s.handler, o)
			}
		}
	}
}

// WithStore has the server serve what is in the store, in place of an empty
// one in memory. The store is the test's: the server does not close it.
func WithStore(store registry.Store) registry.Option {
	return newOption(func(s *settings) { s.store = store })
}

// WithInMemory has the server listen in memory, at 127.0.0.1:1, where nothing
// but its [Server.Client] and [Server.Transport] finds it. No system call is
// made, and all that waits does so in a way that package testing/synctest
// knows: in a bubble, a client that backs off for five minutes does so in no
// time. A bubble has to end, too: the server and the connections of all clients
// do so with the test, if the bodies of all answers have been closed.
//
// For a name of its own, see [Network.Registry].
func WithInMemory() registry.Option {
	return newOption(func(s *settings) { s.inMemory = true })
}

// WithLogs has the server log to the test every request, as it is answered.
// Without it, what there is to say is logged when the test has failed.
func WithLogs() registry.Option {
	return newOption(func(s *settings) { s.logs = true })
}

// WithBodies has the journal keep the first bytes of each body, up to the
// limit, for [Record.RequestBody] and [Record.ResponseBody].
func WithBodies(limit int64) registry.Option {
	return newOption(func(set *settings) {
		set.prepare = append(set.prepare, func(s *Server) { s.journal.KeepBodies(limit) })
	})
}

// WithLinter has a linter look at all requests when the server is closed. The
// test fails for each finding.
//
//	reg := registrytest.NewServer(t, registrytest.WithLinter(lint.Linter{}))
func WithLinter(l lint.Linter) registry.Option {
	return newOption(func(set *settings) {
		set.prepare = append(set.prepare, func(s *Server) {
			l.Observe(&s.journal)
			s.options = append(s.options, l.Options()...)
			s.onEnd(func() { l.CheckRequests(s.t, s.Requests()) })
		})
	})
}
