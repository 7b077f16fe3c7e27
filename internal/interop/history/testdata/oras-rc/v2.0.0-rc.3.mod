module client

go 1.26

require (
	github.com/opencontainers/go-digest v1.0.0
	github.com/opencontainers/image-spec v1.0.2
	oras.land/oras-go/v2 v2.0.0-rc.3
)

require (
	github.com/opencontainers/distribution-spec/specs-go v0.0.0-20220620172159-4ab4752c3b86 // indirect
	github.com/oras-project/artifacts-spec v1.0.0-rc.2 // indirect
	golang.org/x/sync v0.0.0-20210220032951-036812b2e83c // indirect
)
