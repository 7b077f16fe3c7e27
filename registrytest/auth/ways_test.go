package auth_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// The tests in this file attack the repository secret/app. Two registries have
// the same users, but only one of them has the repository. An attack, called a
// way, is a sequence of requests by a client without the right to read the
// repository. The attack succeeds if a response contains secret content, if the
// responses of the registries differ (which reveals that the repository exists),
// or if the repository changes.

const (
	secretText = "top secret"
	secretBlob = "a blob that is " + secretText
	imageType  = "application/vnd.oci.image.manifest.v1+json"
)

var secretManifest = fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":"a/b","digest":%q,"size":%d},"layers":[],"annotations":{"it is":%q}}`,
	digest.FromString(secretBlob), len(secretBlob), secretText)

// A way is an attack: a sequence of requests that tries to get around
// authentication.
type way struct {
	name string
	try  func(w *world)
}

// A world sends the requests of an attack to one of two registries, and records
// the responses in said.
type world struct {
	*reg
	session string // ID of an upload session of the owner in secret/app
	said    []string
}

// random matches the parts of a response that are random, such as IDs and
// tokens.
var random = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|eyJ[\w.-]+|"issued_at":"[^"]*"|"refresh_token":"[^"]*"`)

// send sends a request and records the response. It passes the target to the
// handler unchanged, even if it is malformed.
func (w *world) send(method, target, body string, headers ...header) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest("GET", "/", strings.NewReader(body))
	r.Method, r.Host, r.RequestURI = method, host, target
	u, err := url.ParseRequestURI(target)
	if err != nil {
		path, query, _ := strings.Cut(target, "?")
		u = &url.URL{Path: path, RawQuery: query}
	}
	r.URL = u
	for _, h := range headers {
		for k, values := range h {
			r.Header[k] = append(r.Header[k], values...)
		}
	}
	got := httptest.NewRecorder()
	w.ServeHTTP(got, r)
	require.NotContains(w.t, got.Body.String(), secretText)
	require.Less(w.t, got.Code, 500, got.Body)
	var b strings.Builder
	fmt.Fprintln(&b, method, target, got.Code)
	if strings.HasPrefix(target, "/token") {
		got.Header().Del("Content-Length") // the length of a token varies
	}
	got.Header().Write(&b)
	b.Write(got.Body.Bytes())
	w.said = append(w.said, random.ReplaceAllString(b.String(), "RANDOM"))
	return got
}

// credentials are the users of the registries, and the Auth that knows them.
type credentials struct {
	a     *auth.Auth
	owner auth.Credentials // user with all rights
	eve   auth.Credentials // user with rights on team/** only

	// as returns a header that authenticates the user, with a token for the
	// repository if the scheme needs one.
	as func(c auth.Credentials, repo string) header
}

// Every attack fails, with each authentication scheme and each store.
func TestWaysAroundAuthentication(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/reliability.md")
	require.NoError(t, err)
	for scheme, make := range map[string]func(...string) *auth.Auth{"basic": auth.Basic, "bearer": auth.Bearer, "either": auth.BearerOrBasic} {
		for _, s := range isolating {
			if scheme == "either" && s.name == "tree" {
				continue // this scheme and this store are tested in other pairs
			}
			t.Run(scheme+", "+s.name, func(t *testing.T) {
				t.Parallel()
				c := credentials{a: make("anonymous pull public/**")}
				c.owner, c.eve = c.a.User("owner"), c.a.User("eve", "* team/**")
				c.as = func(who auth.Credentials, repo string) header {
					if scheme == "basic" {
						return basic(who)
					}
					return bearer(c.a.AccessToken(who.Username, "repository:"+repo+":pull,push,delete", "registry:catalog:*"))
				}
				store, _ := s.open(t)
				with, session := newWorld(t, store, c, "public/app", "team/app", "secret/app")
				store, _ = s.open(t)
				without, _ := newWorld(t, store, c, "public/app", "team/app")
				all := ways(c, scheme)
				t.Logf("%d ways", len(all))
				require.Contains(t, string(document), fmt.Sprintf("a table of %d ways", len(all)))
				for _, way := range all {
					t.Run(way.name, func(t *testing.T) {
						a, b := &world{reg: with.in(t), session: session}, &world{reg: without.in(t), session: session}
						way.try(a)
						way.try(b)
						require.NotEmpty(t, a.said)
						require.Equal(t, b.said, a.said, "the response tells whether there is a secret/app")
					})
				}
				wantUntouched(t, with, c, session)
			})
		}
	}
}

// in returns a copy of r that reports failures to the subtest t.
func (r *reg) in(t *testing.T) *reg {
	sub := *r
	sub.t = t
	return &sub
}

// newWorld returns a registry with an image in each repository, and the ID of an
// upload session of the owner in the last repository.
func newWorld(t testing.TB, store registry.Store, c credentials, repos ...string) (r *reg, session string) {
	r = &reg{t, c.a, registry.New(store, c.a.Options()...), store}
	for _, repo := range repos {
		blob, manifest := "the blob of "+repo, fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":"a/b","digest":%q,"size":%d},"layers":[]}`,
			digest.FromString("the blob of "+repo), len("the blob of "+repo))
		if repo == "secret/app" {
			blob, manifest = secretBlob, secretManifest
		}
		w := r.do("POST", "/v2/"+repo+"/blobs/uploads/?digest="+string(digest.FromString(blob)), c.as(c.owner, repo), blob)
		require.Equal(t, 201, w.Code, w.Body)
		w = r.do("PUT", "/v2/"+repo+"/manifests/v1", merge(c.as(c.owner, repo), header{"Content-Type": {imageType}}), manifest)
		require.Equal(t, 201, w.Code, w.Body)
		w = r.do("POST", "/v2/"+repo+"/blobs/uploads/", c.as(c.owner, repo), "")
		session = w.Header().Get("Docker-Upload-Uuid")
	}
	return r, session
}

func merge(headers ...header) header {
	all := header{}
	for _, h := range headers {
		for k, values := range h {
			all[k] = append(all[k], values...)
		}
	}
	return all
}

// wantUntouched fails the test if an attack has changed secret/app.
func wantUntouched(t testing.TB, r *reg, c credentials, session string) {
	t.Helper()
	h := c.as(c.owner, "secret/app")
	require.Equal(t, secretBlob, r.do("GET", "/v2/secret/app/blobs/"+string(digest.FromString(secretBlob)), h, "").Body.String())
	require.Equal(t, secretManifest, r.do("GET", "/v2/secret/app/manifests/v1", h, "").Body.String())
	require.JSONEq(t, `{"name":"secret/app","tags":["v1"]}`, r.do("GET", "/v2/secret/app/tags/list", h, "").Body.String())
	w := r.do("GET", "/v2/secret/app/blobs/uploads/"+session, h, "")
	require.Equal(t, 204, w.Code)
	require.Equal(t, "0-0", w.Header().Get("Range"))
	for repo, err := range r.store.Repositories(t.Context(), "") {
		require.NoError(t, err)
		require.True(t, repo == "secret/app" || strings.HasPrefix(repo, "team/") || repo == "public/app", repo)
	}
}

// ways returns all attacks on a registry with the authentication scheme.
func ways(c credentials, scheme string) (all []way) {
	all = append(all, waysByOperation(c)...)
	all = append(all, waysByPath(c)...)
	all = append(all, waysByHeader(c)...)
	all = append(all, waysByContent(c)...)
	all = append(all, waysByBasic(c)...)
	all = append(all, waysByBearer(c)...)
	return append(all, waysByTokenService(c, scheme)...)
}

// pullSecret returns a function that requests a manifest, a blob and the tags
// of secret/app, with the headers.
func pullSecret(h ...header) func(*world) {
	return func(w *world) {
		w.send("GET", "/v2/secret/app/manifests/v1", "", h...)
		w.send("HEAD", "/v2/secret/app/blobs/"+string(digest.FromString(secretBlob)), "", h...)
		w.send("GET", "/v2/secret/app/tags/list", "", h...)
	}
}

// waysByOperation returns attacks by every operation: without credentials, and
// by a user with rights on another repository.
func waysByOperation(c credentials) (all []way) {
	blob, manifest := string(digest.FromString(secretBlob)), string(digest.FromString(secretManifest))
	image := header{"Content-Type": {imageType}}
	for _, as := range []struct {
		name string
		header
	}{{"anonymous", nil}, {"eve", c.as(c.eve, "team/app")}, {"eve with a token for secret/app", c.as(c.eve, "secret/app")}} {
		for _, r := range []struct {
			method, target, body string
			header
		}{
			{"GET", "/v2/_catalog", "", nil},
			{"GET", "/v2/_catalog?n=1&last=public/app", "", nil},
			{"GET", "/v2/_catalog?last=secret", "", nil},
			{"HEAD", "/v2/_catalog?n=100000", "", nil},
			{"GET", "/v2/_oci/ext/discover", "", nil},
			{"GET", "/v2/secret/app/_oci/ext/discover", "", nil},
			{"GET", "/v2/secret/app/tags/list", "", nil},
			{"GET", "/v2/secret/app/tags/list?n=0", "", nil},
			{"HEAD", "/v2/secret/app/tags/list?last=v0", "", nil},
			{"GET", "/v2/secret/app/manifests/v1", "", nil},
			{"GET", "/v2/secret/app/manifests/v2", "", nil},
			{"GET", "/v2/secret/app/manifests/" + manifest, "", nil},
			{"HEAD", "/v2/secret/app/manifests/v1", "", nil},
			{"HEAD", "/v2/secret/app/manifests/" + manifest, "", nil},
			{"GET", "/v2/secret/app/blobs/" + blob, "", nil},
			{"HEAD", "/v2/secret/app/blobs/" + blob, "", nil},
			{"GET", "/v2/secret/app/referrers/" + manifest, "", nil},
			{"PUT", "/v2/secret/app/manifests/v1", "{}", image},
			{"PUT", "/v2/secret/app/manifests/v2", secretManifest, image},
			{"PUT", "/v2/secret/app/manifests/" + string(digest.FromString("{}")) + "?tag=v1", "{}", image},
			{"DELETE", "/v2/secret/app/manifests/v1", "", nil},
			{"DELETE", "/v2/secret/app/manifests/" + manifest, "", nil},
			{"DELETE", "/v2/secret/app/blobs/" + blob, "", nil},
			{"POST", "/v2/secret/app/blobs/uploads/", "", nil},
			{"POST", "/v2/secret/app/blobs/uploads/?digest=" + blob, secretBlob, nil},
			{"POST", "/v2/secret/app/blobs/uploads/?mount=" + blob + "&from=team/app", "", nil},
			{"POST", "/v2/secret/app/blobs/uploads/?mount=" + blob, "", nil},
			{"GET", "/v2/secret/app/blobs/uploads/SESSION", "", nil},
			{"PATCH", "/v2/secret/app/blobs/uploads/SESSION", "x", nil},
			{"PUT", "/v2/secret/app/blobs/uploads/SESSION?digest=" + string(digest.FromString("x")), "x", nil},
			{"DELETE", "/v2/secret/app/blobs/uploads/SESSION", "", nil},
			{"OPTIONS", "/v2/secret/app/manifests/v1", "", nil},
			{"TRACE", "/v2/secret/app/manifests/v1", "", nil},
			{"get", "/v2/secret/app/manifests/v1", "", nil},
		} {
			all = append(all, way{fmt.Sprintf("%s, %s %s", as.name, r.method, r.target), func(w *world) {
				w.send(r.method, strings.Replace(r.target, "SESSION", w.session, 1), r.body, as.header, r.header)
			}})
		}
	}
	// The upload session of the owner does not belong to team/app, where eve may
	// push.
	eve := c.as(c.eve, "team/app")
	for method, query := range map[string]string{"GET": "", "HEAD": "", "PATCH": "", "PUT": "?digest=" + string(digest.FromString("x")), "DELETE": ""} {
		all = append(all, way{method + " of another's session in team/app", func(w *world) {
			w.send(method, "/v2/team/app/blobs/uploads/"+w.session+query, "x", eve)
			w.send(method, "/v2/secret/app/../../team/app/blobs/uploads/"+w.session+query, "x", eve)
		}})
	}
	return all
}

// An unreadable is a request body that fails the test if the registry reads it.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the registry reads the body of a request without the right")
	return 0, io.EOF
}

// The registry does not read the body of a request that it refuses.
func TestRefusedBodiesAreNotRead(t *testing.T) {
	t.Parallel()
	a := auth.Basic()
	r := newReg(t, a)
	for method, target := range map[string]string{
		"PUT":   "/v2/secret/app/manifests/v1",
		"POST":  "/v2/secret/app/blobs/uploads/?digest=" + string(digest.FromString("")),
		"PATCH": "/v2/secret/app/blobs/uploads/x",
	} {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(method, target, unreadable{t}))
		require.Equal(t, http.StatusUnauthorized, w.Code)
	}
}
