// Package flatpak serves the index that Flatpak needs beside the API of a
// registry, to find the applications there:
//
//	reg := registrytest.NewServer(t, flatpak.Index())
//
// A remote for it is oci+http:// and [registrytest.Server.Host]; the fragment of a
// remote's URL is the tag of its images, by default latest. The document Registry
// Index Protocol and File Format, registry-index.md of flatpak-oci-specs, defines
// the index.
package flatpak

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ocireg/registry"
)

// Index returns an option that makes a registry respond to GET and HEAD of
// /index/static and /index/dynamic, below the path prefix of the registry.
//
// Each response is made of the images that are stored by then: their config,
// labels and annotations. Images with a tag are in it, and those in an index with
// a tag, as the parameters repository, tag, os, architecture, label:NAME,
// label:NAME:exists, annotation:NAME and annotation:NAME:exists select. An image
// has to match all parameters; of those with the same name, it has to match one.
// Images that cannot be read are left out, as are those with digests other than
// sha256, which Flatpak does not take; [registry.Exchange.Notes] says which images
// are damaged.
//
// Flatpak requests the index without credentials, so it has the repositories from
// which a client without credentials may pull (see [registry.Request.Public]).
// The index has an ETag, and is not to be used from a cache without asking.
//
// The registry responds with 400 to a query that is malformed or longer than 8
// KiB, or has a parameter that ends with :exists and a value other than 1, which the
// document leaves undefined; with 405 to other methods, and with 507 if the index would have more than
// 16 MiB. It makes one index at a time.
//
// In records and rules, these requests are [registry.UnknownOp], such as in the
// rule "unknown where=path:/index/static status=503".
func Index() registry.Option {
	one := make(chan struct{}, 1)
	return registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			path, ok := strings.CutPrefix(r.URL.Path, r.Prefix)
			if !ok || path != "/index/static" && path != "/index/dynamic" {
				return next(w, r)
			}
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				e := registry.Errorf(registry.CodeUnsupported, "the method is not supported here")
				e.Header = http.Header{"Allow": {"GET, HEAD"}}
				return e
			}
			text, err := build(r, one)
			if err != nil {
				return err
			}
			send(w, r, text)
			return nil
		}
	})
}

// maxQuery is the number of bytes of the longest query.
const maxQuery = 8 << 10

// build returns the index that the request asks for. It first waits until no
// other index is being built.
func build(r *registry.Request, one chan struct{}) ([]byte, error) {
	var query query
	err := errors.New("it is too long")
	if len(r.URL.RawQuery) <= maxQuery {
		query, err = parseQuery(r.URL.RawQuery)
	}
	if err != nil {
		e := registry.Errorf(registry.CodeUnsupported, "the query of the index: %v", err)
		e.Status = http.StatusBadRequest
		return nil, e
	}
	select {
	case one <- struct{}{}:
		defer func() { <-one }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	b := builder{Request: r, query: query, room: maxIndex}
	results, err := b.repositories()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(struct {
		Registry string
		Results  []result
	}{r.Prefix + "/", results})
	if err != nil {
		return nil, fmt.Errorf("encoding the index: %w", err)
	}
	return text, nil
}

// send responds with the index, or with 304 if the client has it.
func send(w http.ResponseWriter, r *registry.Request, index []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Etag", fmt.Sprintf(`"%x"`, sha256.Sum256(index)))
	w.Header().Set("Content-Length", strconv.Itoa(len(index)))
	http.ServeContent(w, r.Request, "", time.Time{}, bytes.NewReader(index))
}

// A query is the conditions on images, of which all have to be met.
type query struct {
	repositories, tags values
	conditions         []condition
}

// values are the values of a parameter of which one is wanted. Nil stands for any.
type values map[string]bool

func (v values) match(value string) bool { return v == nil || v[value] }

// A condition is one on a property of an image.
type condition struct {
	of     property
	name   string // of a label or annotation
	values values // or nil if it has to exist
}

// A property is one that a query names.
type property uint8

const (
	operatingSystem property = iota + 1
	architecture
	label
	annotation
)

// parseQuery reads the query of a request for the index. It ignores parameters
// with other names.
func parseQuery(text string) (query, error) {
	var q query
	parameters, err := url.ParseQuery(text)
	if err != nil {
		return q, err
	}
	for key, given := range parameters {
		any := make(values)
		for _, v := range given {
			any[v] = true
		}
		kind, name, named := strings.Cut(key, ":")
		var c condition
		switch {
		case key == "repository":
			q.repositories = any
			continue
		case key == "tag":
			q.tags = any
			continue
		case key == "os":
			c = condition{operatingSystem, "", any}
		case key == "architecture":
			c = condition{architecture, "", any}
		case named && kind == "label":
			c = condition{label, name, any}
		case named && kind == "annotation":
			c = condition{annotation, name, any}
		default:
			continue
		}
		if name, exists := strings.CutSuffix(c.name, ":exists"); exists {
			if len(any) != 1 || !any["1"] {
				return q, fmt.Errorf("%.200q has no meaning with values other than 1", key)
			}
			c.name, c.values = name, nil
		}
		q.conditions = append(q.conditions, c)
	}
	return q, nil
}

// match reports whether the image meets all conditions.
func (q *query) match(i *image) bool {
	for _, c := range q.conditions {
		value, exists := "", true
		switch c.of {
		case operatingSystem:
			value = i.OS
		case architecture:
			value = i.Architecture
		case label:
			value, exists = i.Labels[c.name]
		case annotation:
			value, exists = i.Annotations[c.name]
		}
		if !exists || !c.values.match(value) {
			return false
		}
	}
	return true
}
