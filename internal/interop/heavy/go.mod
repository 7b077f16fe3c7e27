module github.com/ocireg/registry/internal/interop/heavy

go 1.26.0

require (
	github.com/notaryproject/notation-go v1.3.2
	github.com/ocireg/registry v0.0.0
	github.com/ocireg/registry/internal/interop v0.0.0
	go.podman.io/image/v5 v5.41.2
	helm.sh/helm/v3 v3.22.0
)

replace github.com/ocireg/registry => ../../..

replace github.com/ocireg/registry/internal/interop => ..
