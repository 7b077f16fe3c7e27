package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
	"github.com/ocireg/registry/internal/remote"
)

var errNilOption = errors.New("an option is nil; leave it out")

// notFound returns an error that wraps [fs.ErrNotExist], for which a registry
// sends a 404 response with the code and the message.
func notFound(code registry.Code, message string) error {
	e := registry.Errorf(code, "%s", message)
	e.Status = http.StatusNotFound
	return fmt.Errorf("%w: %w", e, fs.ErrNotExist)
}

// unknown returns the error for content that the upstream lacks.
func unknown(code registry.Code, name string) error {
	return notFound(code, "the upstream does not have "+name)
}

// miss returns the error for content that is not recorded, and adds its name to
// those of [Store.Missed].
func (s *Store) miss(code registry.Code, name string) error {
	s.mu.Lock()
	s.missed[name] = true
	s.mu.Unlock()
	e := &registry.Error{Code: code, Status: http.StatusNotFound, Message: "not recorded: " + name + "; run with -record"}
	return fmt.Errorf("%w: %w", e, fs.ErrNotExist)
}

// codeOf returns the error code in an upstream's response, or its second argument
// if the response has no valid code.
func codeOf(err error, otherwise registry.Code) registry.Code {
	var e *remote.StatusError
	if errors.As(err, &e) && isCode(e.Code) {
		return e.Code
	}
	return otherwise
}

// failure returns the error for a client whose request failed because a request
// to the upstream returned err. Of the upstream's statuses, 429 and 503 stay,
// with Retry-After, and so do most others below 500. Status 401 becomes 403,
// since the credentials of the client would not help. Otherwise the status is
// 502.
func failure(err error, name string) error {
	e := &registry.Error{Code: "UNKNOWN", Status: http.StatusBadGateway}
	var status *remote.StatusError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &status):
		switch code := status.Status; {
		case status.Elsewhere:
		case code == http.StatusUnauthorized || code == http.StatusForbidden:
			e.Code, e.Status = registry.CodeDenied, http.StatusForbidden
		case code == http.StatusMethodNotAllowed:
			return fmt.Errorf("%s: %w", name, err)
		case code == http.StatusTooManyRequests:
			e.Code, e.Status = registry.CodeTooManyRequests, code
		case code == http.StatusServiceUnavailable:
			e.Status = code
		case 400 <= code && code < 500:
			e.Code, e.Status = cmp.Or(codeOf(err, ""), e.Code), code
		}
		if status.RetryAfter != "" && e.Status != http.StatusBadGateway {
			e.Header = http.Header{"Retry-After": {status.RetryAfter}}
		}
	}
	e.Message = fmt.Sprintf("getting %s from the upstream: %v", name, err)
	return e
}

// describe sets the properties of a manifest that follow from its content. It
// returns an error unless the content is a valid manifest of its media type.
func describe(m *registry.Manifest) error {
	m.MediaType = manifest.Canonical(m.MediaType)
	doc, err := manifest.Parse(m.MediaType, m.Content)
	if err == nil && !manifest.Known(m.MediaType) && manifest.Known(doc.Type()) {
		// Some file servers do not send the media type, so take it from the
		// content.
		m.MediaType = doc.Type()
		doc, err = manifest.Parse(m.MediaType, m.Content)
	}
	if err == nil {
		if err = doc.Check(m.MediaType); errors.Is(err, manifest.ErrNoVersion) {
			err = nil
		}
	}
	if err == nil && !manifest.ValidType(m.MediaType) {
		err = fmt.Errorf("its Content-Type %.100q is not a media type", m.MediaType)
	}
	if err != nil {
		return fmt.Errorf("the response is not a valid manifest: %w", err)
	}
	if !manifest.Opaque(m.MediaType) {
		m.Subject = doc.SubjectDigest()
		m.ArtifactType = doc.ReferrerType()
		m.Annotations = maps.Clone(doc.Annotations)
	}
	return nil
}

// referrersTag returns the tag that has the list of referrers of the subject, in
// an upstream without the referrers API (spec.md, Referrers Tag Schema).
func referrersTag(subject string) string {
	algorithm, encoded, _ := strings.Cut(subject, ":")
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-", c) {
			return c
		}
		return '-'
	}, algorithm[:min(len(algorithm), 32)]+"-"+encoded[:min(len(encoded), 64)])
}
