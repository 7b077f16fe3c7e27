module client

go 1.26

require cuelabs.dev/go/oci/ociregistry v0.0.0-20240314152124-224736b49f2e

require (
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/opencontainers/image-spec v1.1.0-rc4 // indirect
)
