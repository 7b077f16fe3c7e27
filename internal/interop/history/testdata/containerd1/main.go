// Program containerd1 resolves a tag with containerd 1.x.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/containerd/containerd/remotes/docker"
)

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, image string) error {
	login := func(string) (string, string, error) {
		return os.Getenv("REGISTRY_USERNAME"), os.Getenv("REGISTRY_PASSWORD"), nil
	}
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(
		docker.WithPlainHTTP(docker.MatchLocalhost),
		docker.WithAuthorizer(docker.NewDockerAuthorizer(docker.WithAuthCreds(login))),
	)})
	name, desc, err := resolver.Resolve(ctx, image)
	fmt.Println(name, desc.Digest)
	return err
}
