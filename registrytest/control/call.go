package control

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A call is a request to the API. Its methods that read a parameter note in err
// that the parameter is not valid.
type call struct {
	*http.Request
	w       *response
	query   url.Values
	session session // in the query
	err     error
}

// newCall returns a request whose query has no other parameters.
func newCall(w *response, r *http.Request, parameters string) (*call, error) {
	c := &call{Request: r, w: w}
	if parameters == "*" {
		return c, nil
	}
	if c.query, c.err = url.ParseQuery(r.URL.RawQuery); c.err != nil {
		return nil, bad("the query is not valid: %w", c.err)
	}
	for name := range c.query {
		if !slices.Contains(strings.Fields(parameters), name) {
			return nil, bad("this request has no parameter %.100q; it has: %s", name, cmp.Or(parameters, "none"))
		}
	}
	if text, ok := c.value("session"); ok && c.err == nil {
		c.err = c.session.UnmarshalText([]byte(text))
	}
	return c, c.err
}

// is reports whether a parameter is given, and not as false.
func (c *call) is(name string) bool {
	return c.query.Has(name) && c.query.Get(name) != "false" && c.query.Get(name) != "0"
}

// list returns the values of a parameter, which commas separate.
func (c *call) list(name string) []string {
	list := strings.Split(strings.Join(c.query[name], ","), ",")
	// The name of an anonymous user is empty.
	if c.query.Has(name) && name != "user" && slices.Contains(list, "") {
		c.err = bad("%s has no value; leave it out, or give it one", name)
	}
	return list
}

// value returns the value of a parameter, and whether it is given.
func (c *call) value(name string) (string, bool) {
	list := c.list(name)
	if len(list) > 1 && c.err == nil {
		c.err = bad("%s has more than one value", name)
	}
	return list[0], c.query.Has(name)
}

// number returns the number in a parameter, or n if it is not given.
func (c *call) number(name string, least, n int) int {
	if text, ok := c.value(name); ok && c.err == nil {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < least {
			c.err = bad("%s=%.100q is not a number from %d", name, text, least)
		}
	}
	return n
}

// duration returns the duration in a parameter, or d if it is not given.
func (c *call) duration(name string, d time.Duration) time.Duration {
	if text, ok := c.value(name); ok && c.err == nil {
		var err error
		if d, err = time.ParseDuration(text); err != nil || d < 0 {
			c.err = bad("%s=%.100q is not a duration, such as 5s", name, text)
		}
	}
	return d
}

// maxBody is the size in bytes of the largest body that is JSON or text.
const maxBody = 1 << 20

// text returns the body without the spaces around it.
func (c *call) text() (string, error) {
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.Body, maxBody))
	if err != nil {
		return "", bad("reading the body: %w", err)
	}
	return string(bytes.TrimSpace(body)), nil
}

// decode decodes a body, which is one object in JSON.
func decode(text string, v any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil && (text[0] != '{' || d.Decode(new(json.RawMessage)) != io.EOF) {
		err = errors.New("it is not one object")
	}
	if err != nil {
		return bad("the body is not the JSON of this request: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// An apiError is an error with the status of its response.
type apiError struct {
	error
	status   int
	position *int // in the text of a rule
}

func (e *apiError) Unwrap() error { return e.error }

func fail(status int, format string, args ...any) error {
	return &apiError{fmt.Errorf(format, args...), status, nil}
}

func bad(format string, args ...any) error { return fail(http.StatusBadRequest, format, args...) }

// A response notes whether it has begun.
type response struct {
	http.ResponseWriter
	begun bool
}

func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(p)
}

// An object is an object in JSON.
type object = map[string]any

// reply writes the error or, if that is nil, the object, unless the status is 0.
func (w *response) reply(status int, body any, err error) {
	if err != nil {
		if w.begun {
			panic(http.ErrAbortHandler) // The client must not take a part for all of it.
		}
		status, body = problem(err)
		w.Header().Del("Content-Disposition")
	}
	if status == 0 {
		return
	}
	if status == http.StatusNoContent {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(body) // If it fails, the client has gone.
}

// problem returns the status and the body of a response with an error.
func problem(err error) (status int, body object) {
	var large *http.MaxBytesError
	var e *apiError
	body = object{"error": err.Error()}
	switch {
	case errors.As(err, &large):
		body["error"] = fmt.Sprintf("the body has more than %d bytes, uncompressed", large.Limit)
		return http.StatusRequestEntityTooLarge, body
	case errors.Is(err, errors.ErrUnsupported):
		return http.StatusConflict, body
	case errors.As(err, &e):
		if e.position != nil {
			body["position"] = *e.position
		}
		return e.status, body
	case errors.Is(err, fs.ErrNotExist):
		return http.StatusNotFound, body
	}
	return http.StatusInternalServerError, body
}
