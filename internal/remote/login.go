package remote

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Login is the credentials of a user: a name and a password, or an identity
// token, which a token service accepts instead. The zero Login is that of an
// anonymous client.
type Login struct {
	Username, Password string
	IdentityToken      string
}

// DockerLogin returns the credentials that docker login stored for the host.
// They are in the file config.json in dir, or in the credential helper that the
// file names. If dir is empty, it is the value of DOCKER_CONFIG, or else
// ~/.docker. DockerLogin returns the zero Login if the file does not exist or
// has no credentials for the host.
func DockerLogin(ctx context.Context, dir, host string) (Login, error) {
	if dir == "" {
		dir = os.Getenv("DOCKER_CONFIG")
	}
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return Login{}, nil
		}
		dir = filepath.Join(home, ".docker")
	}
	file := filepath.Join(dir, "config.json")
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Login{}, nil
	} else if err != nil {
		return Login{}, fmt.Errorf("reading the credentials of docker login: %w", err)
	}
	config, err := parseConfig(content)
	if err != nil {
		return Login{}, fmt.Errorf("reading %s: %w", file, err)
	}
	if name, key := config.helper(host); name != "" {
		return askHelper(ctx, name, key)
	}
	login, err := config.login(host)
	if err != nil {
		return Login{}, fmt.Errorf("%s: %w", file, err)
	}
	return login, nil
}

// hubKey is the key of Docker Hub's credentials in config.json.
const hubKey = "https://index.docker.io/v1/"

// Hub reports whether the host is Docker Hub, which has several names.
func Hub(host string) bool {
	switch host {
	case "docker.io", "index.docker.io", "registry-1.docker.io":
		return true
	}
	return false
}

// A dockerConfig is the part of Docker's config.json that concerns credentials.
type dockerConfig struct {
	Auths map[string]struct {
		Auth          string
		Username      string
		Password      string
		IdentityToken string
	}
	CredsStore  string
	CredHelpers map[string]string
}

func parseConfig(content []byte) (*dockerConfig, error) {
	c := new(dockerConfig)
	if err := json.Unmarshal(content, c); err != nil {
		return nil, err
	}
	return c, nil
}

// keys returns the keys under which config.json may have credentials for the
// host, in order of preference.
func keys(host string) []string {
	if Hub(host) {
		return []string{hubKey, "docker.io", "index.docker.io", "registry-1.docker.io"}
	}
	return []string{host, "https://" + host, "http://" + host}
}

// helper returns the name of the credential helper for the host, or "", and the
// key under which the helper stores the credentials.
func (c *dockerConfig) helper(host string) (name, key string) {
	all := keys(host)
	for _, key := range all {
		if name := c.CredHelpers[key]; name != "" {
			return name, all[0]
		}
	}
	return c.CredsStore, all[0]
}

// login returns the credentials that config.json itself has for the host.
func (c *dockerConfig) login(host string) (Login, error) {
	for _, key := range keys(host) {
		entry, ok := c.Auths[key]
		for _, k := range slices.Sorted(maps.Keys(c.Auths)) {
			// Old versions of Docker wrote keys with a path, such as /v1/.
			if !ok && strings.Contains(k, "://") && strings.HasPrefix(k, key+"/") {
				entry, ok = c.Auths[k], true
			}
		}
		if !ok {
			continue
		}
		login := Login{entry.Username, entry.Password, entry.IdentityToken}
		if entry.Auth != "" {
			both, err := base64.StdEncoding.DecodeString(entry.Auth)
			name, password, found := strings.Cut(string(both), ":")
			if err != nil || !found {
				return Login{}, fmt.Errorf("auth of %s is not NAME:PASSWORD in base64", host)
			}
			login.Username, login.Password = name, strings.TrimRight(password, "\x00")
		}
		if login != (Login{}) {
			return login, nil
		}
	}
	return Login{}, nil
}

// A credential helper that runs for longer than helperTime is killed.
const helperTime = 30 * time.Second

// helperName matches a valid name of a credential helper.
var helperName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// askHelper returns the credentials that the program docker-credential-NAME has
// for the host, or the zero Login if the program has none.
func askHelper(ctx context.Context, name, host string) (Login, error) {
	if !helperName.MatchString(name) {
		return Login{}, fmt.Errorf("%q is not the name of a credential helper", name)
	}
	ctx, cancel := context.WithTimeout(ctx, helperTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker-credential-"+name, "get")
	cmd.Stdin = strings.NewReader(host)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return Login{}, fmt.Errorf("asking for credentials: %w", err)
	} else if err != nil {
		if bytes.Contains(out, []byte("credentials not found")) {
			return Login{}, nil
		}
		return Login{}, fmt.Errorf("the credential helper docker-credential-%s fails: %w", name, err)
	}
	login, err := parseHelper(out)
	if err != nil {
		return Login{}, fmt.Errorf("reading the output of docker-credential-%s: %w", name, err)
	}
	return login, nil
}

// parseHelper returns the credentials in the output of a credential helper.
func parseHelper(out []byte) (Login, error) {
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(out, &answer); err != nil {
		// The error of json.Unmarshal could quote the secret.
		return Login{}, errors.New("it is not JSON with Username and Secret")
	}
	if answer.Username == "<token>" {
		return Login{IdentityToken: answer.Secret}, nil
	}
	return Login{Username: answer.Username, Password: answer.Secret}, nil
}
