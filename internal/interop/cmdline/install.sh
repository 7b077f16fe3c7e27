#!/bin/sh
# Installs the tools that the tests here and in ../browser drive, as far as the
# machine can: those of Debian with apt-get, as root, and those in Go with
# go install. The tests skip what is not there.
#
#	install.sh [DIR [TOOL...]]
#
# DIR is where the tools in Go are put, or else where go puts them. Without a
# TOOL it is all of them.
set -u

[ $# -gt 0 ] && GOBIN=$(realpath -m "$1") && export GOBIN && shift
wanted=" $* "

want() {
	case $wanted in
	"  " | *" $1 "*) return 0 ;;
	esac
	return 1
}

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	export DEBIAN_FRONTEND=noninteractive
	updated=
	for package in skopeo umoci buildah podman docker.io containerd runc docker-compose docker-registry flatpak chromium; do
		want "$package" || continue
		[ -n "$updated" ] || apt-get update -q
		updated=yes
		apt-get install -q -y --no-install-recommends "$package" || echo "install.sh: no $package" >&2
	done
fi

for tool in \
	github.com/google/go-containerregistry/cmd/crane@v0.22.1 \
	github.com/regclient/regclient/cmd/regctl@v0.11.7 \
	oras.land/oras/cmd/oras@v1.3.6 \
	helm.sh/helm/v3/cmd/helm@v3.22.0 \
	github.com/google/ko@v0.19.1 \
	github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3; do
	name=${tool%@*}
	want "${name##*/}" || continue
	go install "$tool" || echo "install.sh: no $tool" >&2
done
