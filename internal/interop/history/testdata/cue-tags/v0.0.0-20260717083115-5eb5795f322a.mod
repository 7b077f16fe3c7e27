module client

go 1.26

require cuelabs.dev/go/oci/ociregistry v0.0.0-20260717083115-5eb5795f322a

require (
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/opencontainers/image-spec v1.1.1 // indirect
)
