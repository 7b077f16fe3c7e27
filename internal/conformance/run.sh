#!/usr/bin/env bash
# Runs the official conformance suite of the OCI Distribution Specification
# against ocireg, and writes the table of results to docs/conformance.md.
#
#	run.sh DIR
#
# DIR is a checkout of github.com/opencontainers/distribution-spec. The suite is
# built from it and not kept. The exit status is 1 if a test failed.
set -euo pipefail

[ $# = 1 ] && [ -f "$1/conformance/go.mod" ] || {
	echo "usage: run.sh DIR, a checkout of github.com/opencontainers/distribution-spec" >&2
	exit 2
}
spec=$(realpath "$1")
cd "$(dirname "$0")/../.."
document=docs/conformance.md

work=$(mktemp -d)
server=
stop() {
	[ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server"; } || true
	server=
}
trap 'stop; rm -rf "$work"' EXIT

(cd "$spec/conformance" && go build -o "$work/suite" .)
go build -o "$work/ocireg" ./cmd/ocireg

# toggles prints a setting for each test that can be turned off, as VAR=true.
toggles() {
	local api data name
	api="PING PULL PUSH BLOBS_ATOMIC BLOBS_DELETE BLOBS_DIGEST_HEADER BLOBS_MOUNT_ANONYMOUS BLOBS_UPLOAD_CANCEL
		MANIFESTS_ATOMIC MANIFESTS_DELETE MANIFESTS_DIGEST_HEADER MANIFESTS_TAG_PARAM
		TAGS_ATOMIC TAGS_DELETE TAGS_LIST REFERRER"
	data="IMAGE INDEX INDEX_LIST SPARSE ARTIFACT SUBJECT SUBJECT_MISSING ARTIFACT_LIST SUBJECT_LIST DATA_FIELD
		NONDISTRIBUTABLE CUSTOM_FIELDS NO_LAYERS EMPTY_BLOB SHA512"
	for name in $api; do echo "OCI_API_$name=true"; done
	for name in $data; do echo "OCI_DATA_$name=true"; done
}

failed=
: >"$work/table"

# run VERSION TESTS STORE LOGIN runs the suite once and adds a row to the table.
# TESTS is "default" or "all", STORE is "memory" or "layout", LOGIN is "none",
# "Basic" or "Bearer".
run() {
	local version=$1 tests=$2 store=$3 login=$4 dir flags settings url count counts
	dir="$work/$version-$tests-$store-$login"
	mkdir "$dir"
	flags=(-addr 127.0.0.1:0 -quiet)
	settings=(OCI_VERSION="$version" OCI_TLS=disabled OCI_RESULTS_DIR="$dir/results" OCI_CONFIGURATION=/dev/null)
	if [ "$tests" = all ]; then
		flags+=(-sparse) # the test of sparse manifests is off by default, too
		while read -r setting; do settings+=("$setting"); done < <(toggles)
	fi
	if [ "$login" != none ]; then
		flags+=(-user conformance:secret)
		settings+=(OCI_USERNAME=conformance OCI_PASSWORD=secret)
	fi
	[ "$login" != Bearer ] || flags+=(-token)
	[ "$store" != layout ] || { mkdir "$dir/layouts" && flags+=("$dir/layouts"); }

	mkfifo "$dir/out"
	"$work/ocireg" "${flags[@]}" >"$dir/out" &
	server=$!
	exec 3<"$dir/out"
	read -r url _ <&3 || { echo "ocireg ${flags[*]} did not start" >&2; exit 1; }
	cat <&3 >/dev/null &
	env "${settings[@]}" OCI_REGISTRY="${url#http://}" "$work/suite" >"$dir/report" 2>&1 || true
	stop
	exec 3<&-

	counts=
	for count in Pass FAIL Error Skip Disabled; do
		counts+=" $(sed -n "s/^  $count\.*: *//p" "$dir/report" | head -n 1) |"
	done
	echo "| $version | $tests | $store | $login |$counts" | tee -a "$work/table"
	if ! [[ $counts =~ ^\ [1-9][0-9]*\ \|\ 0\ \|\ 0\ \| ]]; then
		failed=yes
		grep -A3 -e FAIL -e Error "$dir/report" | head -n 60 >&2 || tail -n 20 "$dir/report" >&2
	fi
}

for version in 1.0 1.1 dev; do
	for tests in default all; do
		for store in memory layout; do run $version $tests $store none; done
	done
done
for login in Basic Bearer; do
	for store in memory layout; do run dev all $store $login; done
done
[ -z "$failed" ] || exit 1

{
	sed '/^<!-- results -->$/q' "$document"
	echo
	echo "Suite: distribution-spec $(git -C "$spec" rev-parse --short HEAD), $(go env GOVERSION) $(go env GOOS)/$(go env GOARCH)."
	echo
	echo "| version | tests | store | login | pass | fail | error | skip | disabled |"
	echo "|---|---|---|---|---|---|---|---|---|"
	cat "$work/table"
} >"$work/document"
cp "$work/document" "$document"
