package main

import (
	"io"
	"log"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/ocireg/registry"
)

// newLog returns a logger that writes to w, in the format that the settings
// say, and the option that logs requests there as well, unless it is quiet.
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

// logText writes a line for people: what has the same width in each comes
// first, so that they can be read down as well as across.
func logText(l *log.Logger, e *registry.Exchange) {
	unit := time.Microsecond
	if e.Duration > time.Second {
		unit = time.Millisecond
	}
	l.Printf("%03d %-15s %9s %9d in %9d out  %s%s", e.Status, e.Request.Op, e.Duration.Round(unit),
		e.BytesIn, e.BytesOut, target(e.Request), oneLine(failures(e)))
}

// target returns what the request is about, or the path of one that is about
// nothing in the registry.
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

// failures returns what went wrong with the exchange, each with a space before
// it. That something is not there needs no more words than its code.
func failures(e *registry.Exchange) string {
	var b strings.Builder
	for _, told := range e.Errors {
		if e.Status == http.StatusNotFound {
			b.WriteString(" " + string(told.Code))
		} else {
			b.WriteString(" " + told.Error())
		}
	}
	if e.Err != nil && len(e.Errors) == 0 {
		b.WriteString(" " + e.Err.Error())
	}
	return b.String()
}

// oneLine returns s without what could end the line or change how a terminal
// shows it.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
