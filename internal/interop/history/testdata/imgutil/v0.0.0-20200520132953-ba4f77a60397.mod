module client

go 1.26

require (
	github.com/buildpacks/imgutil v0.0.0-20200520132953-ba4f77a60397
	github.com/google/go-containerregistry v0.0.0-20200311163244-4b1985e5ea21
)

require (
	github.com/docker/cli v0.0.0-20191017083524-a8ff7f821017 // indirect
	github.com/docker/docker v1.4.2-0.20190924003213-a8608b5b67c7 // indirect
	github.com/docker/docker-credential-helpers v0.6.3 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	golang.org/x/sync v0.0.0-20190911185100-cd5d95a43a6e // indirect
)
