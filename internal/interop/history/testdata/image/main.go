// Program image lists tags with containers/image.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/types"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(image string) error {
	ref, err := docker.ParseReference("//" + image)
	if err != nil {
		return err
	}
	sys := &types.SystemContext{
		DockerInsecureSkipTLSVerify: types.OptionalBoolTrue,
		DockerAuthConfig:            &types.DockerAuthConfig{Username: os.Getenv("REGISTRY_USERNAME"), Password: os.Getenv("REGISTRY_PASSWORD")},
	}
	tags, err := docker.GetRepositoryTags(context.Background(), sys, ref)
	fmt.Println(tags)
	return err
}
