module github.com/ocireg/registry

go 1.25

// Testify is for tests alone. 1.8.1 is the first version that requires no
// release of yaml with a known vulnerability; tests also pass with newer ones.
require (
	github.com/opencontainers/go-digest v1.0.0
	github.com/opencontainers/image-spec v1.1.1
	github.com/stretchr/testify v1.8.1
)

require (
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/pmezard/go-difflib v1.0.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)
