package conformance_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
)

// brokenAPIs returns registries that violate requirements of all endpoints.
func brokenAPIs() []broken {
	return []broken{
		{"base endpoint is missing", status("GET", "/v2/", 404), []string{"base endpoint is 200"}},
		{"errors are not in a list", edit("", "/", func(rec *httptest.ResponseRecorder) {
			if rec.Code >= 400 && rec.Header().Get("Content-Type") == "application/json" {
				setBody(rec, `{"code":"X"}`)
			}
		}), []string{"errors in JSON have their format", "manifest with missing content is accepted or MANIFEST_BLOB_UNKNOWN",
			"layer of an unknown digest algorithm is accepted or MANIFEST_BLOB_UNKNOWN"}},
		{"error codes are lower case", edit("GET", "/", func(rec *httptest.ResponseRecorder) {
			if rec.Code >= 400 {
				setBody(rec, `{"errors":[{"code":"not-found"}]}`)
			}
		}), []string{"error codes are capitals and underscores", "error codes are those of the spec"}},
		{"429 has no Retry-After", when(func(r *http.Request) bool { return r.URL.Path == "/v2/" }, respond(429)), []string{"429 has Retry-After", "base endpoint is 200"}},
		{"warnings have no code", header("", "/", "Warning", "beware"), []string{"warnings have their format"}},
		{"warnings are long", header("", "/", "Warning", `299 - "`+strings.Repeat("x", 4096)+`"`), []string{"warnings are at most 4096 bytes"}},
		{"namespace is not confirmed", without("OCI-Namespace", "GET", "/"), []string{"namespace is confirmed by OCI-Namespace"}},
		{"second If-None-Match is ignored", request(func(r *http.Request) {
			if values := r.Header["If-None-Match"]; len(values) > 1 {
				r.Header["If-None-Match"] = values[:1]
			}
		}), []string{"repeated If-None-Match is one list"}},
		{"ns is copied into a header", when(func(r *http.Request) bool { return r.URL.Query().Has("ns") }, func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			rec := record(h, r)
			rec.Header().Set("OCI-Namespace", r.URL.Query().Get("ns"))
			replay(w, rec)
		}), []string{"query never makes a header malformed"}},
		{"405 has no Allow", without("Allow", "", "/"), []string{"405 has Allow"}},
	}
}
