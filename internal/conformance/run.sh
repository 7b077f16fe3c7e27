#!/usr/bin/env bash
# Runs the official conformance suite of the OCI Distribution Specification
# against ocireg, and writes the table of results to docs/conformance.md.
#
#	run.sh DIR
#
# DIR is a checkout of github.com/opencontainers/distribution-spec. The suite is
# built from it and not kept. The exit status is 1 if a test failed.
set -euo pipefail
source "$(dirname "$0")/suite.sh"

failed=
{
	echo "| version | tests | store | login | pass | fail | error | skip | disabled |"
	echo "|---|---|---|---|---|---|---|---|---|"
} >"$work/table"

# run VERSION TESTS STORE LOGIN runs the suite once and adds a row to the table.
# TESTS is "default" or "all", STORE is "memory" or "layout", LOGIN is "none",
# "Basic" or "Bearer".
run() {
	local version=$1 tests=$2 store=$3 login=$4 report flags=() settings=() row
	report="$work/$version-$tests-$store-$login"
	[ "$tests" = default ] || flags+=(-sparse) # the test of sparse manifests is off by default, too
	if [ "$login" != none ]; then
		flags+=(-user conformance:secret)
		settings+=(OCI_USERNAME=conformance OCI_PASSWORD=secret)
	fi
	[ "$login" != Bearer ] || flags+=(-token)
	[ "$store" != layout ] || { mkdir "$report.layouts" && flags+=("$report.layouts"); }
	ocireg "${flags[@]}"
	suite "$version" "$tests" "$report" "${settings[@]}"
	stop

	row=$(counts "$report")
	echo "| $version | $tests | $store | $login |$row" | tee -a "$work/table"
	if ! [[ $row =~ ^\ [1-9][0-9]*\ \|\ 0\ \|\ 0\ \| ]]; then
		failed=yes
		grep -A3 -e FAIL -e Error "$report" | head -n 60 >&2 || tail -n 20 "$report.log" >&2
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
publish results "$work/table"
