package main

import (
	"io"
	"log"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
)

// newLog returns a logger that writes to w in the format of the settings, and an
// option that logs requests. If the settings are quiet, the option does nothing.
func (s *settings) newLog(w io.Writer) (*log.Logger, registry.Option) {
	var logger *log.Logger
	var requests registry.Option
	if s.log == "json" {
		h := slog.NewJSONHandler(w, nil)
		logger = slog.NewLogLogger(h, slog.LevelWarn)
		requests = registry.WithLogger(slog.New(h))
	} else {
		logger = log.New(w, "", log.Ltime|log.Lmicroseconds)
		requests = registry.WithRecorder(registry.RecorderFunc(func(e *registry.Exchange) { logText(logger, e) }))
	}
	if s.quiet {
		requests = registry.Options()
	}
	return logger, requests
}

// logText logs a request as a line for people to read. The fields of equal width
// come first and form columns.
func logText(l *log.Logger, e *registry.Exchange) {
	unit := time.Microsecond
	if e.Duration > time.Second {
		unit = time.Millisecond
	}
	l.Printf("%03d %-15s %9s %9d in %9d out  %s%s", e.Status, e.Request.Op, e.Duration.Round(unit),
		e.BytesIn, e.BytesOut, field.Printable(target(e.Request)), field.Printable(failures(e)))
}

// target returns the repository of the request with its tag or digest, or the
// method and path if the request has no repository.
func target(r *registry.Request) string {
	switch {
	case r.Repo == "" || r.Op == registry.UnknownOp:
		return r.Method + " " + r.URL.EscapedPath()
	case r.Tag != "":
		return r.Repo + ":" + r.Tag
	case r.Digest != "":
		return r.Repo + "@" + string(r.Digest)
	}
	return r.Repo
}

// failures returns the errors of the response, each after a space, or the failure
// of the registry if the response has none. Of the errors of a 404 response it
// returns only the codes.
func failures(e *registry.Exchange) string {
	var b strings.Builder
	for _, sent := range e.Errors {
		if e.Status == http.StatusNotFound {
			b.WriteString(" " + string(sent.Code))
		} else {
			b.WriteString(" " + sent.Error())
		}
	}
	if e.Err != nil && len(e.Errors) == 0 {
		b.WriteString(" " + e.Err.Error())
	}
	return b.String()
}
