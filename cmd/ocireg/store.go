package main

import (
	"log"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
)

// openStore opens the store that the command serves. The caller has to call
// close when it is done.
func (s *settings) openStore(logger *log.Logger) (store registry.Store, close func() error, err error) {
	if s.dir == "" {
		return memstore.New(), func() error { return nil }, nil
	}
	opts := []layout.Option{
		layout.Tag(s.tag),
		layout.Warnings(func(err error) { logger.Print(field.Printable(err.Error())) }),
	}
	if s.readOnly {
		opts = append(opts, layout.ReadOnly())
	}
	if s.referrersTags {
		opts = append(opts, layout.ReferrersTags())
	}
	if s.sync {
		opts = append(opts, layout.Sync())
	}
	if s.repository != "" {
		opts = append(opts, layout.Repository(s.repository))
	}
	l, err := layout.Open(s.dir, opts...)
	if err != nil {
		return nil, nil, err
	}
	if s.auth != nil {
		if err := s.auth.CheckStore(l); err != nil {
			l.Close()
			return nil, nil, err
		}
	}
	return l, l.Close, nil
}

// source describes the source of the content for the banner.
func (s *settings) source() string {
	source := "an empty registry in memory"
	if s.dir != "" {
		source = field.Printable(s.dir)
	}
	if s.readOnly {
		source += ", read-only"
	}
	return source
}
