// Package flatpak serves an index of images beside the API of a registry.
// Flatpak needs the index to find applications:
//
//	reg := registrytest.NewServer(t, flatpak.Index())
//
// The URL of a Flatpak remote for the registry is oci+http:// followed by
// [registrytest.Server.Host]. The fragment of the URL is the tag of its images, by
// default latest. The document Registry Index Protocol and File Format
// (registry-index.md of flatpak-oci-specs) defines the index.
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

// Index returns an option that makes a registry respond to GET and HEAD requests
// for /index/static and /index/dynamic, below its path prefix.
//
// Each response is an index of the images that the registry has at that time,
// with their platforms, labels and annotations. It lists images that have a tag,
// and images in an image index that has a tag. The query parameters repository,
// tag, os, architecture, label:NAME, label:NAME:exists, annotation:NAME and
// annotation:NAME:exists select images. An image must match all parameters; if a
// parameter is repeated, it must match one of the values. The index lists neither
// images that cannot be read, nor those with digests other than sha256, which
// Flatpak does not support. [registry.Exchange.Notes] names up to 10 damaged images.
//
// Flatpak requests the index without credentials. So the index lists only repositories
// from which a client without credentials may pull; see [registry.Request.Public].
// The index has an ETag, and a cache must revalidate it before each use.
//
// The response is 400 to a malformed query, to a query longer than 8 KiB, and to a
// parameter that ends with :exists and has a value other than 1, since the document
// defines no other value. The response to other methods is 405. If the index would
// have more than 16 MiB, the response is 507. The registry builds one index at a
// time.
//
// In the journal and in fault rules, requests for the index are
// [registry.UnknownOp], as in the rule
// "unknown where=path:/index/static status=503".
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

// maxQuery is the number of bytes of the longest permitted query.
const maxQuery = 8 << 10

// build returns the index for the request. It first waits until no other index
// is being built.
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

// send sends a response with the index, or 304 if the client already has it.
func send(w http.ResponseWriter, r *registry.Request, index []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Etag", fmt.Sprintf(`"%x"`, sha256.Sum256(index)))
	w.Header().Set("Content-Length", strconv.Itoa(len(index)))
	http.ServeContent(w, r.Request, "", time.Time{}, bytes.NewReader(index))
}

// A query has the conditions in the query of a request. The index lists only
// images that meet all of them.
type query struct {
	repositories, tags values
	conditions         []condition
}

// values are the permitted values of a property. A nil map permits any value.
type values map[string]bool

func (v values) match(value string) bool { return v == nil || v[value] }

// A condition requires a value of one property of an image.
type condition struct {
	of     property
	name   string // of the label or annotation
	values values // nil if any value is permitted
}

// A property is a property of images that a query can name.
type property uint8

const (
	operatingSystem property = iota + 1
	architecture
	label
	annotation
)

// parseQuery parses the query of a request for the index. It ignores unknown
// parameters.
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
