package main

import (
	"log"
	"os"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/overlay"
)

// openStore opens the store that the command serves. The caller must call close
// at the end.
func (s *settings) openStore(logger *log.Logger) (store registry.Store, close func() error, err error) {
	if s.upstream.url != "" {
		return s.upstream.open()
	}
	if s.dir == "" {
		return memstore.New(), func() error { return nil }, nil
	}
	if info, err := os.Stat(s.dir); err == nil && !info.IsDir() && !s.overlay && !s.readOnly {
		// An archive is always read-only.
		s.readOnly = true
		s.options = append(s.options, registry.WithReadOnly())
	}
	opts := []layout.Option{
		layout.Tag(s.tag),
		layout.Warnings(func(err error) { logger.Print(field.Printable(err.Error())) }),
	}
	if s.record.records() {
		if err := os.MkdirAll(s.dir, 0o777); err != nil {
			return nil, nil, err
		}
	} else if s.readOnly || s.overlay || s.record.replays(s.dir) {
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
	s.layouts = l
	if s.auth != nil {
		if err := s.auth.CheckStore(l); err != nil {
			l.Close()
			return nil, nil, err
		}
	}
	if s.record.records() || s.record.replays(s.dir) {
		if store, err = s.record.open(s, l); err != nil {
			l.Close()
			return nil, nil, err
		}
		return store, l.Close, nil
	}
	if s.overlay {
		return overlay.New(l, memstore.New()), l.Close, nil
	}
	return l, l.Close, nil
}

// source describes where the content comes from, for the banner.
func (s *settings) source() string {
	source := "an empty registry in memory"
	if s.upstream.url != "" {
		source = field.Printable(s.upstream.String())
	} else if s.dir != "" {
		source = field.Printable(s.dir)
	}
	if s.record.records() {
		source += ", and records " + field.Printable(strings.Join(s.record.store.Upstreams(), ", "))
	} else if s.record.store != nil {
		source += ", as recorded"
	}
	switch {
	case s.readOnly:
		source += ", read-only"
	case s.overlay:
		source += ", which pushes do not change"
	}
	return source
}
