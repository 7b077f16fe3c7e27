package jsonapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Call is a request to an endpoint. List, Value, Number and Duration set Err if
// the parameter is not valid.
type Call struct {
	*http.Request
	Response *Response
	Query    url.Values
	Err      error // the error of the first invalid parameter
}

// newCall returns the call of a request, or an error if the query is malformed or
// has a parameter that parameters does not name. If parameters is "*", newCall does
// not read the query.
func newCall(w *Response, r *http.Request, parameters string) (*Call, error) {
	c := &Call{Request: r, Response: w}
	if parameters == "*" {
		return c, nil
	}
	if c.Query, c.Err = url.ParseQuery(r.URL.RawQuery); c.Err != nil {
		return nil, Bad("the query is not valid: %w", c.Err)
	}
	for name := range c.Query {
		if !slices.Contains(strings.Fields(parameters), name) {
			return nil, Bad("this request has no parameter %.100q; it has: %s", name, cmp.Or(parameters, "none"))
		}
	}
	return c, nil
}

// Is reports whether the query has the parameter, with a value other than false or 0.
func (c *Call) Is(name string) bool {
	return c.Query.Has(name) && c.Query.Get(name) != "false" && c.Query.Get(name) != "0"
}

// Values returns the values of a parameter. Commas separate the values in the
// query. If the query does not have the parameter, the result is one empty value.
func (c *Call) Values(name string) []string {
	return strings.Split(strings.Join(c.Query[name], ","), ",")
}

// List returns the values of a parameter, like Values. It sets Err if the query has
// the parameter and one of the values is empty.
func (c *Call) List(name string) []string {
	list := c.Values(name)
	if c.Query.Has(name) && c.Err == nil && slices.Contains(list, "") {
		c.Err = Bad("%s has no value; leave it out, or give it one", name)
	}
	return list
}

// Value returns the value of a parameter and whether the query has it.
func (c *Call) Value(name string) (string, bool) {
	list := c.List(name)
	if len(list) > 1 && c.Err == nil {
		c.Err = Bad("%s has more than one value", name)
	}
	return list[0], c.Query.Has(name)
}

// Number returns the number in a parameter, or n if the query does not have it. It
// sets Err if the value is not a number, or is less than least.
func (c *Call) Number(name string, least, n int) int {
	if text, ok := c.Value(name); ok && c.Err == nil {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < least {
			c.Err = Bad("%s=%.100q is not a number of at least %d", name, text, least)
		}
	}
	return n
}

// Duration returns the duration in a parameter, or d if the query does not have it.
// It sets Err if the value is not a duration in the form of [time.ParseDuration],
// or is negative.
func (c *Call) Duration(name string, d time.Duration) time.Duration {
	if text, ok := c.Value(name); ok && c.Err == nil {
		var err error
		if d, err = time.ParseDuration(text); err != nil || d < 0 {
			c.Err = Bad("%s=%.100q is not a duration, such as 5s", name, text)
		}
	}
	return d
}

// MaxBody is the size in bytes of the largest body of JSON or text.
const MaxBody = 1 << 20

// Text returns the body of the request without leading and trailing white space.
func (c *Call) Text() (string, error) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Response, c.Body, MaxBody))
	if err != nil {
		return "", Bad("reading the body: %w", err)
	}
	return string(bytes.TrimSpace(body)), nil
}

// Decode decodes the body of the request into v. The body is empty or one JSON object.
func (c *Call) Decode(v any) error {
	text, err := c.Text()
	if err != nil || text == "" {
		return err
	}
	return Decode(text, v)
}

// Decode decodes a text into v. The text must be one JSON object without
// members that v lacks.
func Decode(text string, v any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil && (text[0] != '{' || d.Decode(new(json.RawMessage)) != io.EOF) {
		err = errors.New("it is not one JSON object")
	}
	if err != nil {
		return Bad("the body is not the JSON of this request: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}
