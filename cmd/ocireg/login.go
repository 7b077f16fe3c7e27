package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/ocireg/registry/registrytest/auth"
)

// readLogin returns the credentials for the host in Docker's config.json, or of
// the credential helper that it names for the host. It returns none if there is
// no such file or no such host in it.
func readLogin(ctx context.Context, host string) (c auth.Credentials, err error) {
	dir := os.Getenv("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return c, nil
		}
		dir = filepath.Join(home, ".docker")
	}
	file := filepath.Join(dir, "config.json")
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	} else if err != nil {
		return c, fmt.Errorf("reading the credentials of docker login: %w", err)
	}
	var config struct {
		Auths map[string]struct {
			Auth          string
			IdentityToken string
		}
		CredsStore  string
		CredHelpers map[string]string
	}
	if err := json.Unmarshal(content, &config); err != nil {
		return c, fmt.Errorf("reading %s: %w", file, err)
	}
	if helper := cmp.Or(config.CredHelpers[host], config.CredsStore); helper != "" {
		return askHelper(ctx, helper, host)
	}
	entry, ok := config.Auths[host]
	if !ok {
		entry, ok = config.Auths["https://"+host]
	}
	switch {
	case !ok || entry.Auth == "" && entry.IdentityToken == "":
		return c, nil
	case entry.IdentityToken != "":
		return c, fmt.Errorf("%s has an identity token for %s, which cannot be used here; give -user", file, host)
	}
	both, err := base64.StdEncoding.DecodeString(entry.Auth)
	name, password, found := strings.Cut(string(both), ":")
	if err != nil || !found {
		return c, fmt.Errorf("%s: auth of %s is not NAME:PASSWORD in base64", file, host)
	}
	return auth.Credentials{Username: name, Password: strings.TrimRight(password, "\x00")}, nil
}

// askHelper returns the credentials that the program docker-credential-NAME has
// for the host, or none if it fails, as it does if it has none.
func askHelper(ctx context.Context, name, host string) (c auth.Credentials, err error) {
	if !regexp.MustCompile(`^[A-Za-z0-9_-]+$`).MatchString(name) {
		return c, fmt.Errorf("%q is not the name of a credential helper", name)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker-credential-"+name, "get")
	cmd.Stdin = strings.NewReader(host)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return c, fmt.Errorf("asking for credentials: %w; give -user", err)
	} else if err != nil {
		if bytes.Contains(out, []byte("credentials not found")) {
			return c, nil
		}
		return c, fmt.Errorf("the credential helper docker-credential-%s fails: %w; give -user", name, err)
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(out, &answer); err != nil {
		return c, fmt.Errorf("reading the output of docker-credential-%s: %w", name, err)
	}
	if answer.Username == "<token>" {
		return c, fmt.Errorf("docker-credential-%s has an identity token for %s, which cannot be used here; give -user", name, host)
	}
	return auth.Credentials{Username: answer.Username, Password: answer.Secret}, nil
}
