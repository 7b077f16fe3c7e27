#!/bin/sh
# Installs the tools that the tests in this directory drive, as far as the
# machine can: those of Debian with apt-get, as root, and those in Go with
# go install, into the directory that is given or else that of go itself.
# The tests skip what is not there.
set -u

[ $# -gt 0 ] && GOBIN=$(realpath -m "$1") && export GOBIN

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q
	for package in skopeo umoci buildah podman docker.io containerd runc; do
		apt-get install -q -y --no-install-recommends "$package" || echo "install.sh: no $package" >&2
	done
fi

for tool in \
	github.com/google/go-containerregistry/cmd/crane@v0.22.1 \
	github.com/regclient/regclient/cmd/regctl@v0.11.7 \
	helm.sh/helm/v3/cmd/helm@v3.22.0 \
	github.com/google/ko@v0.19.1 \
	github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3; do
	go install "$tool" || echo "install.sh: no $tool" >&2
done
