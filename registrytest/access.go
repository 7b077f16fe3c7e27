package registrytest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// WithAuth has the registry ask who its clients are, and let them do what a
// says.
func WithAuth(a *auth.Auth) registry.Option {
	return newOption(func(set *settings) {
		set.prepare = append(set.prepare, func(s *Server) {
			s.auth = a
			s.options = append(s.options, a.Option())
		})
	})
}

// WithBasic has the registry ask for Basic authentication. The rules, such as
// "anonymous pull public/**", say what may be done besides what the users of
// [Server.User] may do; see [auth.ParseRule].
func WithBasic(rules ...string) registry.Option {
	return withScheme(auth.Basic, rules)
}

// WithBearer has the registry ask for tokens, which it hands out itself. The
// rules are those of [WithBasic].
func WithBearer(rules ...string) registry.Option {
	return withScheme(auth.Bearer, rules)
}

func withScheme(scheme auth.Scheme, rules []string) registry.Option {
	return newOption(func(set *settings) {
		set.prepare = append(set.prepare, func(s *Server) {
			s.auth = &auth.Auth{Scheme: scheme}
			for _, rule := range rules {
				if err := s.auth.Allow(rule); err != nil {
					s.t.Fatalf("registrytest: %v", err)
				}
			}
			s.options = append(s.options, s.auth.Option())
		})
	})
}

// Auth returns what decides who may do what. Without [WithAuth], [WithBasic] or
// [WithBearer] there is none, and Auth fails the test.
func (s *Server) Auth() *auth.Auth {
	s.t.Helper()
	s.inProcess(s.t, "Auth")
	if s.auth == nil {
		s.t.Fatalf("registrytest: %s lets everybody do everything, because it was started without authentication", s.Host())
	}
	return s.auth
}

// User adds a user to the registry, and returns its name with a password that
// was made for it. Without rules, the user may do everything; with some, such
// as "pull,push team/**", that alone. See [auth.Auth.AddUser].
func (s *Server) User(t TB, name string, rules ...string) auth.Credentials {
	t.Helper()
	c := auth.NewCredentials(name)
	if err := s.Auth().AddUser(c, rules...); err != nil {
		t.Fatalf("registrytest: adding the user %s: %v", name, err)
	}
	return c
}

// configFile is the config.json of Docker, as far as it has to do with
// credentials.
type configFile struct {
	Auths       map[string]configAuth `json:"auths,omitempty"`
	CredHelpers map[string]string     `json:"credHelpers,omitempty"`
}

type configAuth struct {
	Auth          string `json:"auth,omitempty"`
	IdentityToken string `json:"identitytoken,omitempty"`
}

// DockerConfig returns a directory with a config.json in which clients find the
// credentials for the server: for Docker's DOCKER_CONFIG, or, with the name of
// the file, for the REGISTRY_AUTH_FILE of Podman and Skopeo. It is removed at
// the end of the test.
func (s *Server) DockerConfig(t TB, c auth.Credentials) (dir string) {
	t.Helper()
	both := base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password))
	return s.writeDockerConfig(t, configFile{Auths: map[string]configAuth{s.Host(): {Auth: both}}})
}

// DockerConfigIdentity is like [Server.DockerConfig] with an identity token of
// the user, which is what docker login keeps in place of the password if the
// registry gives it one.
func (s *Server) DockerConfigIdentity(t TB, user string) (dir string) {
	t.Helper()
	// Docker's own clients expect this name in place of a user's.
	name := base64.StdEncoding.EncodeToString([]byte("<token>:"))
	token := s.Auth().IdentityToken(user)
	return s.writeDockerConfig(t, configFile{Auths: map[string]configAuth{s.Host(): {Auth: name, IdentityToken: token}}})
}

// DockerConfigHelper is like [Server.DockerConfig] with a credential helper:
// config.json names one that is in the directory, which has to be put into PATH
// for clients to find it. It needs a shell, and there is none on Windows.
func (s *Server) DockerConfigHelper(t TB, c auth.Credentials) (dir string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Fatalf("registrytest: a credential helper is a shell script, which Windows does not run")
	}
	dir = s.writeDockerConfig(t, configFile{CredHelpers: map[string]string{s.Host(): "registrytest"}})
	answer, err := json.Marshal(map[string]string{"ServerURL": s.Host(), "Username": c.Username, "Secret": c.Password})
	if err != nil {
		t.Fatalf("registrytest: encoding credentials: %v", err)
	}
	quoted := strings.ReplaceAll(string(answer), `'`, `'\''`)
	script := fmt.Sprintf("#!/bin/sh\n# The registry asked for is read from standard input.\ncat >/dev/null\n[ \"$1\" = get ] && printf '%%s\\n' '%s'\n", quoted)
	// A process that another goroutine starts meanwhile would have the script
	// open for a moment, and what is open to be written cannot be executed.
	syscall.ForkLock.RLock()
	err = os.WriteFile(filepath.Join(dir, "docker-credential-registrytest"), []byte(script), 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatalf("registrytest: writing a credential helper: %v", err)
	}
	return dir
}

func (s *Server) writeDockerConfig(t TB, c configFile) (dir string) {
	t.Helper()
	text, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		t.Fatalf("registrytest: encoding config.json: %v", err)
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), append(text, '\n'), 0o600); err != nil {
		t.Fatalf("registrytest: writing config.json: %v", err)
	}
	return dir
}
