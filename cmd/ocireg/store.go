package main

import (
	"log"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
)

// openStore opens what the settings want served. It returns what to call when
// it is no longer served.
func (s *settings) openStore(logger *log.Logger) (store registry.Store, close func() error, err error) {
	if s.dir == "" {
		return memstore.New(), func() error { return nil }, nil
	}
	opts := []layout.Option{
		layout.Tag(s.tag),
		layout.Warnings(func(err error) { logger.Print(oneLine(err.Error())) }),
	}
	if s.readOnly {
		opts = append(opts, layout.ReadOnly())
	}
	if s.repository != "" {
		opts = append(opts, layout.Repository(s.repository))
	}
	l, err := layout.Open(s.dir, opts...)
	if err != nil {
		return nil, nil, err
	}
	return l, l.Close, nil
}

// what says what is served, to people.
func (s *settings) what() string {
	what := "an empty registry in memory"
	if s.dir != "" {
		what = oneLine(s.dir)
	}
	if s.readOnly {
		what += ", read-only"
	}
	return what
}
