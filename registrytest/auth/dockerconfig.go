package auth

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// A TB is the part of a [testing.TB] that this package needs. Fatalf must not
// return.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	TempDir() string
}

// configFile is the part of Docker's config.json that concerns credentials.
type configFile struct {
	Auths       map[string]configAuth `json:"auths,omitempty"`
	CredHelpers map[string]string     `json:"credHelpers,omitempty"`
}

type configAuth struct {
	Auth          string `json:"auth,omitempty"`
	IdentityToken string `json:"identitytoken,omitempty"`
}

// DockerConfig returns a directory with a config.json that holds the credentials
// for the registry at the host, such as "127.0.0.1:43121". Docker's clients take
// the directory as DOCKER_CONFIG; Podman and Skopeo take the path of the file as
// REGISTRY_AUTH_FILE. The directory is removed at the end of the test.
func (c Credentials) DockerConfig(t TB, host string) (dir string) {
	t.Helper()
	return writeDockerConfig(t, c.configFile(host))
}

// Config returns the content of the file that [Credentials.DockerConfig] writes.
func (c Credentials) Config(host string) []byte {
	text, _ := json.MarshalIndent(c.configFile(host), "", "\t") // An encoding error is impossible.
	return append(text, '\n')
}

// configFile returns a config.json with the credentials for the host.
func (c Credentials) configFile(host string) configFile {
	both := base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password))
	return configFile{Auths: map[string]configAuth{host: {Auth: both}}}
}

// PullSecret returns a Kubernetes Secret, in JSON, with the credentials for a
// registry at the host. The Secret has the given name and the type
// kubernetes.io/dockerconfigjson. Kubectl creates it (kubectl apply -f), and Go
// code decodes it into a Secret of package k8s.io/api/core/v1.
func (c Credentials) PullSecret(name, host string) []byte {
	// An encoding error is impossible.
	config, _ := json.Marshal(c.configFile(host))
	secret, _ := json.MarshalIndent(map[string]any{
		"apiVersion": "v1",
		"kind":       "Secret",
		"metadata":   map[string]string{"name": name},
		"type":       "kubernetes.io/dockerconfigjson",
		"data":       map[string][]byte{".dockerconfigjson": config},
	}, "", "\t")
	return append(secret, '\n')
}

// DockerConfigIdentity is like [Credentials.DockerConfig], but the file has an
// identity token of the user. If a registry issues identity tokens, docker login
// stores one instead of the password.
func (a *Auth) DockerConfigIdentity(t TB, host, user string) (dir string) {
	t.Helper()
	// Docker's clients store this name with an identity token.
	name := base64.StdEncoding.EncodeToString([]byte("<token>:"))
	token := a.IdentityToken(user)
	return writeDockerConfig(t, configFile{Auths: map[string]configAuth{host: {Auth: name, IdentityToken: token}}})
}

// DockerConfigHelper is like [Credentials.DockerConfig], but the file has no
// credentials: it names a credential helper in the same directory. Clients find
// the helper if the directory is in PATH. The helper is a shell script, so
// DockerConfigHelper fails the test on Windows.
func (c Credentials) DockerConfigHelper(t TB, host string) (dir string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Fatalf("auth: a credential helper is a shell script, which Windows does not run; use DockerConfig there")
	}
	dir = writeDockerConfig(t, configFile{CredHelpers: map[string]string{host: "registrytest"}})
	response, err := json.Marshal(map[string]string{"ServerURL": host, "Username": c.Username, "Secret": c.Password})
	if err != nil {
		t.Fatalf("auth: encoding credentials: %v", err)
	}
	quoted := strings.ReplaceAll(string(response), `'`, `'\''`)
	script := fmt.Sprintf("#!/bin/sh\n# The client sends the host on standard input.\ncat >/dev/null\n[ \"$1\" = get ] && printf '%%s\\n' '%s'\n", quoted)
	if err := writeProgram(filepath.Join(dir, "docker-credential-registrytest"), []byte(script)); err != nil {
		t.Fatalf("auth: writing a credential helper: %v", err)
	}
	return dir
}

func writeDockerConfig(t TB, c configFile) (dir string) {
	t.Helper()
	text, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		t.Fatalf("auth: encoding config.json: %v", err)
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), append(text, '\n'), 0o600); err != nil {
		t.Fatalf("auth: writing config.json: %v", err)
	}
	return dir
}
