module client

go 1.26

require oras.land/oras-go/v2 v2.6.0

require (
	github.com/ocireg/registry v0.0.0
	github.com/opencontainers/go-digest v1.0.0
	github.com/opencontainers/image-spec v1.1.1
)

require golang.org/x/sync v0.14.0 // indirect

