package matrix

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
)

// A login is a scheme of authentication, and a way to use it, that clients are
// tried with.
type login struct {
	name string

	// auth returns the authentication of the registry.
	auth func(rules ...string) *auth.Auth

	// over is the only scheme, "http" or "https", of a login whose outcome depends
	// on the scheme, or "" to try both.
	over string

	// as creates the user and puts the credentials into the environment of the client.
	as func(a *auth.Auth, env *Env)

	run func(s *try, a *auth.Auth) string

	// expire is the operation after whose first success all tokens expire, or 0.
	expire registry.Op
}

func logins() []login {
	return []login{
		{name: "Basic", auth: auth.Basic, as: ci, run: there},
		{name: "Bearer", auth: auth.Bearer, as: ci, run: there},
		{name: "Bearer, identity token", auth: auth.Bearer, as: identity, run: there},
		{name: "Bearer, anonymous pull", auth: auth.Bearer, as: func(a *auth.Auth, _ *Env) { a.Allow("anonymous pull public/**") }, run: func(s *try, a *auth.Auth) string {
			s.reg.Push(s, "public/app:v1", app())
			s.pull("public/app:v1", app())
			return tokens(s, a)
		}},
		{name: "Bearer, mount", auth: auth.Bearer, as: ci, run: func(s *try, a *auth.Auth) string {
			return mount(s) + ", " + tokens(s, a)
		}},
		{name: "Bearer, tokens expire between two blobs", auth: auth.Bearer, as: ci, run: expired, expire: registry.PutUpload},
		{name: "Bearer, identity token, tokens expire between two blobs", auth: auth.Bearer, as: identity, run: expired, expire: registry.PutUpload},
		// The HTTP version determines whether the client can send the body again.
		{name: "Bearer, tokens expire before the bytes of a blob", over: "http", auth: auth.Bearer, as: ci, run: expired, expire: registry.StartUpload},
		{name: "Bearer, tokens expire before the bytes of a blob, HTTPS", over: "https", auth: auth.Bearer, as: ci, run: expired, expire: registry.StartUpload},
		{name: "Basic, wrong password", auth: auth.Basic, as: wrongPassword, run: refused},
		{name: "Bearer, wrong password", auth: auth.Bearer, as: wrongPassword, run: refused},
		{name: "Bearer, may only pull", auth: auth.Bearer, as: func(a *auth.Auth, env *Env) {
			env.Credentials = a.User("ci", "pull **")
		}, run: refused},
	}
}

func ci(a *auth.Auth, env *Env) { env.Credentials = a.User("ci") }

func identity(a *auth.Auth, env *Env) {
	a.User("ci")
	env.IdentityToken = a.IdentityToken("ci")
}

func wrongPassword(a *auth.Auth, env *Env) {
	env.Credentials = a.User("ci")
	env.Credentials.Password += "x"
}

// there pushes and pulls an image, and returns the token requests.
func there(s *try, a *auth.Auth) string {
	s.push("team/app:v1", app())
	s.pull("team/app:v1", app())
	return tokens(s, a)
}

// expired pushes an image while all tokens expire earlier than the registry
// announced. It returns whether the client recovers.
func expired(s *try, a *auth.Auth) string {
	err := s.client.Push(s.Context(), s.reg.Ref("team/app:v1"), app())
	r := s.reg.Requests()
	told := false
	for _, x := range r.Records() {
		// Set told if the registry refused an expired token.
		told = told || x.Status == http.StatusUnauthorized && slices.ContainsFunc(x.Errors, func(e *registry.Error) bool {
			return strings.Contains(e.Message, "expired")
		})
	}
	require.True(s, told)
	if err != nil {
		s.Logf("the client says: %v", err)
		require.Empty(s, s.reg.Tags(s, "team/app"))
		return "failed"
	}
	s.stored("team/app:v1", app())
	require.Greater(s, len(a.Grants()), 1)
	return "ok"
}

func refused(s *try, a *auth.Auth) string {
	err := s.client.Push(s.Context(), s.reg.Ref("team/app:v1"), app())
	require.Error(s, err)
	s.Logf("the client says: %v", err)
	require.Empty(s, s.reg.Tags(s, "team/app"))
	return "failed"
}

// tokens describes the client's requests for tokens: their methods and scopes.
func tokens(s *try, a *auth.Auth) string {
	var methods, scopes []string
	for _, x := range s.reg.Requests().Op(registry.GetToken).Records() {
		if !slices.Contains(methods, x.Method) {
			methods = append(methods, x.Method)
		}
	}
	if len(methods) == 0 {
		return "ok"
	}
	for _, g := range a.Grants() {
		for _, scope := range g.Requested {
			if !slices.Contains(scopes, scope.String()) {
				scopes = append(scopes, scope.String())
			}
		}
	}
	slices.Sort(methods)
	slices.Sort(scopes)
	return fmt.Sprintf("%s, `%s`", strings.Join(methods, " and "), strings.Join(scopes, " "))
}

// Logins tries each login with the clients, over HTTP and HTTPS, and checks the
// outcomes in the table "logins".
func Logins(t *testing.T, docs string, clients ...Factory) {
	table := OpenTable(t, docs, "logins")
	for _, login := range logins() {
		table.Declare(login.name, clients...)
	}
	table.CheckDeclared(t)
	table.checkClients(t, clients)
	for _, client := range clients {
		for _, login := range logins() {
			for _, scheme := range schemes {
				if login.over != "" && login.over != scheme.name {
					continue
				}
				t.Run(strings.Join([]string{client.Name, login.name, scheme.name}, "/"), func(t *testing.T) {
					t.Parallel()
					seen := login.try(t, client, scheme.options...)
					table.Check(t, login.name, client.Name, seen)
				})
			}
		}
	}
}

func (l login) try(t *testing.T, client Factory, opts ...registrytest.Option) string {
	a := l.auth()
	var expire sync.Once
	s := start(t, Factory{client.Name, func(t *testing.T, env Env) Client {
		l.as(a, &env)
		// In sequence, the client pushes the same blobs before the tokens
		// expire in each run.
		env.Sequential = l.expire != 0
		return client.New(t, env)
	}}, append(opts, a, registry.WithRecorder(registry.RecorderFunc(func(x *registry.Exchange) {
		op := x.Request.Op
		if op == registry.MountBlob && x.Status == http.StatusAccepted {
			op = registry.StartUpload
		}
		if l.expire != 0 && op == l.expire && x.Status < http.StatusBadRequest {
			expire.Do(a.ExpireTokens)
		}
	})))...)
	seen, lacks := s.attempt(func(s *try) string { return l.run(s, a) })
	if lacks != "" {
		return "–"
	}
	return seen
}
