// Program containerd-client pulls and pushes images with the library of containerd, and
// adds as little as possible to the library. It is a client for ocireg check.
//
//	containerd-client version
//	containerd-client pull REF DIR
//	containerd-client push LAYOUT REF
//	containerd-client copy FROM TO DIR
//	containerd-client referrers REF
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "containerd-client:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "version":
		return printVersion()
	case len(args) == 3 && args[0] == "pull":
		_, err := pull(ctx, args[1], args[2])
		return err
	case len(args) == 3 && args[0] == "push":
		root, err := rootOf(args[1])
		if err != nil {
			return err
		}
		return push(ctx, args[1], root, args[2])
	case len(args) == 4 && args[0] == "copy":
		root, err := pull(ctx, args[1], args[3])
		if err != nil {
			return err
		}
		return push(ctx, args[3], root, args[2])
	case len(args) == 2 && args[0] == "referrers":
		return printReferrers(ctx, args[1])
	}
	return fmt.Errorf("no such task: %v", args)
}

func printVersion() error {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == "github.com/containerd/containerd/v2" {
			fmt.Println(m.Version)
			return nil
		}
	}
	return fmt.Errorf("the program was built without containerd")
}

// resolver returns a resolver with the credentials of Docker's config.json, which
// speaks HTTP with registries on this machine.
func resolver() remotes.Resolver {
	return docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(
		docker.WithPlainHTTP(docker.MatchLocalhost),
		docker.WithAuthorizer(docker.NewDockerAuthorizer(docker.WithAuthCreds(credentials))),
	)})
}

func credentials(host string) (user, password string, err error) {
	text, err := os.ReadFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"))
	if err != nil {
		return "", "", err
	}
	var config struct {
		Auths map[string]struct{ Auth string }
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return "", "", err
	}
	pair, err := base64.StdEncoding.DecodeString(config.Auths[host].Auth)
	user, password, _ = strings.Cut(string(pair), ":")
	return user, password, err
}

// pull pulls an image into a store in the directory.
func pull(ctx context.Context, ref, dir string) (root ocispec.Descriptor, err error) {
	r := resolver()
	name, root, err := r.Resolve(ctx, ref)
	if err != nil {
		return root, err
	}
	fetcher, err := r.Fetcher(ctx, name)
	if err != nil {
		return root, err
	}
	store, err := local.NewStore(dir)
	if err != nil {
		return root, err
	}
	return root, images.Dispatch(ctx, images.Handlers(remotes.FetchHandler(store, fetcher), images.ChildrenHandler(store)), nil, root)
}

// push pushes an image from the directory, which is an image layout or the store of a
// pull.
func push(ctx context.Context, dir string, root ocispec.Descriptor, ref string) error {
	store, err := local.NewStore(dir)
	if err != nil {
		return err
	}
	pusher, err := resolver().Pusher(ctx, ref)
	if err != nil {
		return err
	}
	return remotes.PushContent(ctx, pusher, root, content.Provider(store), nil, platforms.All, nil)
}

// rootOf returns the first entry of a layout's index.
func rootOf(layout string) (root ocispec.Descriptor, err error) {
	text, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err != nil {
		return root, err
	}
	var index ocispec.Index
	if err := json.Unmarshal(text, &index); err != nil {
		return root, err
	}
	if len(index.Manifests) == 0 {
		return root, fmt.Errorf("%s has no image", layout)
	}
	return index.Manifests[0], nil
}

func printReferrers(ctx context.Context, ref string) error {
	r := resolver()
	name, desc, err := r.Resolve(ctx, ref)
	if err != nil {
		return err
	}
	fetcher, err := r.Fetcher(ctx, name)
	if err != nil {
		return err
	}
	list, err := fetcher.(remotes.ReferrersFetcher).FetchReferrers(ctx, desc.Digest)
	for _, d := range list {
		fmt.Println(d.Digest)
	}
	return err
}
