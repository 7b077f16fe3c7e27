package upstream_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/upstream"
)

// The Store authenticates with each form of credentials that docker login
// stores. With wrong credentials or none, it gets only what anonymous clients may pull.
func TestLogins(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a credential helper of this test is a shell script")
	}
	for name, users := range map[string]*auth.Auth{"Basic": auth.Basic(), "Bearer": auth.Bearer("anonymous pull public/*")} {
		user := users.User("ci", "* **")
		up := registrytest.NewServer(t, users)
		image := up.Push(t, "team/app:v1", content.Image())
		up.Push(t, "public/app:v1", image)

		bin := t.TempDir()
		t.Setenv("PATH", bin)
		helper := func(name, username, secret string) {
			out, err := json.Marshal(map[string]string{"ServerURL": up.Host(), "Username": username, "Secret": secret})
			require.NoError(t, err)
			script := "#!/bin/sh\nread host\n[ \"$host\" = " + up.Host() + " ] || { echo credentials not found; exit 1; }\necho '" + string(out) + "'\n"
			require.NoError(t, os.WriteFile(filepath.Join(bin, "docker-credential-"+name), []byte(script), 0o700))
		}
		config := func(text string) upstream.RemoteOption {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600))
			return upstream.DockerConfig(dir)
		}
		helper("right", user.Username, user.Password)
		helper("wrong", user.Username, "wrong")
		logins := map[string]upstream.RemoteOption{
			"in the file":         upstream.DockerConfig(user.DockerConfig(t, up.Host())),
			"a helper":            config(`{"credHelpers":{"` + up.Host() + `":"right"},"credsStore":"wrong"}`),
			"a store":             config(`{"credsStore":"right"}`),
			"given":               upstream.User(user.Username, user.Password),
			"wrong":               config(`{"credsStore":"wrong"}`),
			"of another registry": config(`{"auths":{"other.test":{"auth":"dTpw"}}}`),
			"none":                config(`{}`),
		}
		if name == "Bearer" {
			helper("identity", "<token>", users.IdentityToken(user.Username))
			logins["an identity token"] = upstream.DockerConfig(users.DockerConfigIdentity(t, up.Host(), user.Username))
			logins["an identity token of a helper"] = config(`{"credsStore":"identity"}`)
		}
		for kind, login := range logins {
			front := record(t, memstore.New(), upstream.Remote(up.Host(), login))
			got := get(t, front.Server, "/v2/team/app/manifests/v1", "Authorization", "Basic "+strings.Repeat("A", 8))
			public := 200 // Both registries permit ci. The one with Bearer also permits anonymous clients.
			if kind == "wrong" || kind == "none" || kind == "of another registry" {
				if name == "Basic" {
					public = 403
				}
				require.Equal(t, 403, got.Status, "%s %s: %s", name, kind, got.Body)
				require.NotContains(t, got.Body, user.Password)
			} else {
				require.Equal(t, string(image.Manifest), got.Body, "%s %s", name, kind)
			}
			require.Equal(t, public, get(t, front.Server, "/v2/public/app/manifests/v1").Status, "%s %s", name, kind)
		}
		tokens := up.Requests().Op(registry.GetToken)
		require.Equal(t, name == "Bearer", tokens.Len() > 0)
		for _, r := range up.Requests().Records() {
			require.NotEqual(t, "Basic AAAAAAAA", r.RequestHeader.Get("Authorization"), "the Store does not pass on the credentials of its clients")
		}
	}
}
