module github.com/ocireg/registry/adapters/oras

go 1.26.0

require (
	github.com/ocireg/registry v0.1.0
	github.com/opencontainers/go-digest v1.0.0
	github.com/opencontainers/image-spec v1.1.1
	github.com/stretchr/testify v1.12.1
	oras.land/oras-go/v2 v2.6.4
)

require (
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sync v0.24.0 // indirect
)

replace github.com/ocireg/registry => ../..
