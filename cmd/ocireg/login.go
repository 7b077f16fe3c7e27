package main

import (
	"context"
	"fmt"

	"github.com/ocireg/registry/internal/remote"
	"github.com/ocireg/registry/registrytest/auth"
)

// readLogin returns the credentials for the host in Docker's config.json, or from
// the credential helper that the file names for the host. It returns no
// credentials if the file does not exist or does not have the host.
func readLogin(ctx context.Context, host string) (c auth.Credentials, err error) {
	login, err := remote.DockerLogin(ctx, "", host)
	switch {
	case err != nil:
		return c, fmt.Errorf("%w; give -user", err)
	case login.IdentityToken != "":
		return c, fmt.Errorf("docker login has an identity token for %s, which cannot be used here; give -user", host)
	}
	return auth.Credentials{Username: login.Username, Password: login.Password}, nil
}
