package profile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
)

// A storage is a service that stores the blobs of a registry. The registry
// redirects clients to its signed URLs.
type storage struct {
	host   string // real host of the storage
	status int    // status of the redirect

	heads     bool // whether the registry redirects HEAD requests, too
	relative  bool // whether the Location is a relative URL: the storage has the registry's host
	digest    bool // whether the redirect has Docker-Content-Digest
	refuses   bool // whether the storage refuses credentials, as S3 does; at the registry's host it accepts them
	refusesIt bool // whether the storage refuses HEAD requests
	asks      bool // whether the storage requires a token of its own token service

	secret string // secret in its signed URLs
}

const storagePath = "/storage/"

// redirect returns the behaviour of a registry that redirects requests for blobs
// to the storage.
func redirect(s storage) behaviour {
	return behaviour{{decides: "the storage of blobs", build: func(b *build, q *quirk) {
		own := s
		own.secret = rand.Text()
		b.storage = &own
		b.addFault([]registry.Op{registry.GetBlob, registry.HeadBlob}, func(r *registry.Request) *registry.Fault {
			if r.Op == registry.HeadBlob && !own.heads {
				return nil
			}
			if _, err := r.Store().StatBlob(r.Context(), r.Repo, r.Digest); err != nil {
				return nil
			}
			return &registry.Fault{Quirk: true, Serve: func(w http.ResponseWriter, r *registry.Request) error {
				r.Note(q.receipt())
				w.Header().Set("Location", own.url(b, r))
				if own.digest {
					w.Header().Set("Docker-Content-Digest", string(r.Digest))
				}
				w.Header().Set("Content-Length", "0")
				w.WriteHeader(own.status)
				return nil
			}}
		})
		b.addFault([]registry.Op{registry.UnknownOp}, func(r *registry.Request) *registry.Fault {
			if !strings.HasPrefix(r.URL.Path, r.Prefix+storagePath) {
				return nil
			}
			return &registry.Fault{Quirk: true, Serve: func(w http.ResponseWriter, r *registry.Request) error {
				r.Note(q.receipt())
				return own.serve(w, r)
			}}
		})
	}}}
}

// url returns the signed URL of the requested blob. Where possible, its host
// differs from the registry's host, so that a test notices a client that sends
// its credentials there.
func (s *storage) url(b *build, r *registry.Request) string {
	base, elsewhere := origin(r), false
	host, port, err := net.SplitHostPort(r.Host)
	switch local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr); {
	case s.relative:
		base = ""
	case b.set.network && s.host != "":
		base, elsewhere = "https://"+s.host, true
	case err == nil && host == "127.0.0.1" && r.TLS == nil && local != nil && local.Network() == "tcp":
		// This is not possible with TLS or in memory: the certificate for
		// 127.0.0.1 is not valid for localhost, and a network in memory has no
		// host with that name.
		base, elsewhere = "http://"+net.JoinHostPort("localhost", port), true
	}
	query := url.Values{"signature": {s.secret}}
	if elsewhere {
		query.Set("host", "other")
	}
	return base + r.Prefix + storagePath + r.Repo + "/" + string(r.Digest) + "?" + query.Encode()
}

// serve responds to a request to the storage. It serves a blob if the URL is
// signed and the request meets the conditions of the storage.
func (s *storage) serve(w http.ResponseWriter, r *registry.Request) error {
	path := strings.TrimPrefix(r.URL.Path, r.Prefix+storagePath)
	switch {
	case s.asks && path == "token":
		return write(w, r, http.StatusOK, "application/json", `{"token":"`+s.secret+`"}`)
	case s.asks && r.Header.Get("Authorization") != "Bearer "+s.secret:
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s",service="storage"`, origin(r)+r.Prefix+storagePath+"token"))
		return xmlError(w, r, http.StatusUnauthorized, "AccessDenied", "A token is required")
	}
	i := strings.LastIndexByte(path, '/')
	query := r.URL.Query()
	switch {
	case i < 0 || !names.Repository(path[:i]) || digest.Digest(path[i+1:]).Validate() != nil:
		return xmlError(w, r, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
	case query.Get("signature") != s.secret:
		return xmlError(w, r, http.StatusForbidden, "AccessDenied", "Request has expired")
	case s.refuses && r.Header.Get("Authorization") != "" && query.Get("host") != "":
		return xmlError(w, r, http.StatusBadRequest, "InvalidArgument", "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified")
	case s.refusesIt && r.Method == http.MethodHead:
		return xmlError(w, r, http.StatusForbidden, "SignatureDoesNotMatch", "The request signature does not match")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return xmlError(w, r, http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	}
	content, err := r.Store().OpenBlob(r.Context(), path[:i], digest.Digest(path[i+1:]))
	if errors.Is(err, fs.ErrNotExist) {
		return xmlError(w, r, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
	} else if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	defer content.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Del("Docker-Distribution-Api-Version")
	http.ServeContent(w, r.Request, "", time.Time{}, content)
	return nil
}

// xmlError responds with an error in the form of S3.
func xmlError(w http.ResponseWriter, r *registry.Request, status int, code, message string) error {
	text := fmt.Sprintf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
	return write(w, r, status, "application/xml", text)
}

// write sends a response, without a body if the request is a HEAD.
func write(w http.ResponseWriter, r *registry.Request, status int, mediaType, body string) error {
	h := w.Header()
	h["Content-Type"] = nil
	if mediaType != "" {
		h.Set("Content-Type", mediaType)
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead || body == "" {
		return nil
	}
	_, err := w.Write([]byte(body))
	return err
}
