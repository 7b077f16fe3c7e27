// Package page serves the web page of the control API: the requests, the content
// and the faults of a registry, in a browser.
//
// The page is static and has no secrets. It reads the control API of the same
// host, below /v1/, with the token in the fragment of its URL, which browsers do
// not send.
package page

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
)

//go:embed page.html page.css page.mjs
var files embed.FS

// assets lists the files of the page by their URL paths.
var assets = map[string]struct{ name, mediaType string }{
	"/":         {"page.html", "text/html; charset=utf-8"},
	"/page.css": {"page.css", "text/css; charset=utf-8"},
	"/page.mjs": {"page.mjs", "text/javascript; charset=utf-8"},
}

// policy is the Content-Security-Policy of the page. Scripts and styles come only from
// the files, and scripts cannot turn text into markup, so text from clients stays text.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// Handler returns the handler of the page. It responds to GET and HEAD of / and
// of the files that the page loads, and with 404 or 405 to all other requests.
// Requests need no token.
func Handler() http.Handler { return http.HandlerFunc(serve) }

// refuse responds with an error in the form of the control API.
func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": text})
}

func serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")

	asset, ok := assets[r.URL.Path]
	if !ok {
		refuse(w, http.StatusNotFound, "not found: the page is at /")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "the page accepts only GET and HEAD")
		return
	}
	content, err := files.ReadFile(asset.name)
	if err != nil { // This cannot happen, since the files are part of the program.
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	sum := sha256.Sum256(content)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	header.Set("ETag", tag)
	header.Set("Cache-Control", "no-cache") // Another version of ocireg may serve on the same port later.
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", asset.mediaType)
	header.Set("Content-Length", strconv.Itoa(len(content)))
	if r.Method == http.MethodGet {
		w.Write(content) // The Content-Length lets the client notice a failed write.
	}
}
