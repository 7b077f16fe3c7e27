package control

import (
	_ "embed"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/jsonapi"
)

//go:embed openapi.json
var openAPI []byte

// A route is an endpoint of the API.
type route struct {
	pattern    string  // pattern of an [http.ServeMux]
	status     int     // status of a success, or 0 if serve writes the response
	parameters string  // names of the query parameters, separated by spaces; * permits any
	serve      handler // handles the request and returns the JSON object for the response
}

type handler func(*Control, *call) (any, error)

// routes are all endpoints of the control API.
var routes = []route{
	{"GET /v1/{$}", 200, "", (*Control).about},
	{"GET /v1/openapi.json", 200, "", (*Control).describe},
	{"GET /v1/registry/{path...}", 0, "*", (*Control).browse},

	{"POST /v1/faults", 201, "session", (*Control).addRule},
	{"GET /v1/faults", 200, "session", (*Control).list},
	{"DELETE /v1/faults", 204, "session check", (*Control).remove},
	{"GET /v1/faults/{id}", 200, "", one((*Control).get)},
	{"DELETE /v1/faults/{id}", 204, "check", (*Control).remove},

	{"POST /v1/holds", 201, "session", (*Control).addRule},
	{"GET /v1/holds", 200, "session", (*Control).list},
	{"DELETE /v1/holds", 204, "session check", (*Control).remove},
	{"GET /v1/holds/{id}", 200, "wait count", one((*Control).get)},
	{"DELETE /v1/holds/{id}", 204, "check", (*Control).remove},
	{"POST /v1/holds/{id}/release", 200, "", one((*Control).release)},

	{"GET /v1/requests", 0, properties + " " + flags + " since session wait timeout follow format bodies", (*Control).requests},
	{"DELETE /v1/requests", 200, "session", (*Control).forget},
	{"GET /v1/findings", 200, "session since", (*Control).findings},

	{"GET /v1/content", 0, "repo", (*Control).export},
	{"PUT /v1/content", 200, "", (*Control).replaceContent},
	{"POST /v1/content", 201, "", (*Control).addContent},

	{"POST /v1/tamper", 201, "", body((*Control).tamper)},
	{"GET /v1/tamper", 200, "", (*Control).list},
	{"DELETE /v1/tamper", 204, "check", (*Control).remove},
	{"DELETE /v1/tamper/{id}", 204, "check", (*Control).remove},

	{"POST /v1/snapshots", 201, "", body((*Control).takeSnapshot)},
	{"GET /v1/snapshots", 200, "", (*Control).list},
	{"POST /v1/snapshots/{id}/restore", 200, "session", one((*Control).restoreSnapshot)},
	{"DELETE /v1/snapshots/{id}", 204, "", (*Control).remove},

	{"PUT /v1/users/{name}", 200, "config", body((*Control).putUser)},
	{"DELETE /v1/users/{name}", 204, "", (*Control).revoke},
	{"DELETE /v1/tokens", 204, "", (*Control).expireTokens},
	{"POST /v1/clock", 200, "", body((*Control).advance)},
	{"POST /v1/listener/{action}", 200, "", body((*Control).listen)},
	{"POST /v1/reset", 204, "session", body((*Control).reset)},
}

// body returns a handler that decodes the JSON object in the request body, if it
// has one, and passes it to serve.
func body[T any](serve func(*Control, *call, T) (any, error)) handler {
	return func(c *Control, r *call) (any, error) {
		var in T
		if err := r.Decode(&in); err != nil {
			return nil, err
		}
		return serve(c, r, in)
	}
}

// A call is a request to the API.
type call struct {
	*jsonapi.Call
	session session // value of the query parameter session
}

// handler returns the control API. It also serves Config.Page.
func (c *Control) handler() http.Handler {
	api := &jsonapi.API{
		Name: "control", Prefix: "/v1", Help: "GET /v1/openapi.json lists its requests",
		Token: c.config.Token, Hosts: c.config.Hosts, Page: c.config.Page,
	}
	for _, rt := range routes {
		api.Handle(jsonapi.Endpoint{Pattern: rt.pattern, Status: rt.status, Parameters: rt.parameters, Serve: func(r *jsonapi.Call) (any, error) {
			return c.serve(rt.serve, &call{Call: r})
		}})
	}
	return api
}

// serve runs the handler of a route after it has parsed the parameter session.
// An error of a registry behind this one becomes a 502 response.
func (c *Control) serve(serve handler, r *call) (any, error) {
	if text, ok := r.Value("session"); ok && r.Err == nil {
		r.Err = r.session.UnmarshalText([]byte(text))
	}
	if r.Err != nil {
		return nil, r.Err
	}
	object, err := serve(c, r)
	var own *jsonapi.Error
	if err != nil && c.behind() && !errors.As(err, &own) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errors.ErrUnsupported) {
		err = jsonapi.Fail(http.StatusBadGateway, "the registry behind this one: %w", err)
	}
	return object, err
}

// describe serves GET /v1/openapi.json: a description of the API.
func (c *Control) describe(*call) (any, error) { return json.RawMessage(openAPI), nil }

// browse serves GET /v1/registry/v2/…: the content of the registry, read-only
// and without faults, journal or authentication.
func (c *Control) browse(r *call) (any, error) {
	registry.New(c.reg.Store, registry.WithReadOnly(), registry.WithPathPrefix("/v1/registry")).ServeHTTP(r.Response.ResponseWriter, r.Request)
	return nil, nil
}
