#!/usr/bin/env bash
# Runs the official conformance suite against several registries, directly and
# through ocireg -upstream, compares the results of every test, and writes a table
# to docs/conformance.md.
#
#	through.sh DIR [REGISTRY...]
#
# DIR is a checkout of github.com/opencontainers/distribution-spec. REGISTRY is
# ocireg, distribution-2.8 (which needs Debian's docker-registry), distribution-3
# or zot (which needs the command zot); with some of them, there is no table. The
# exit status is 1 if a test has another result through the proxy.
set -euo pipefail
source "$(dirname "$0")/suite.sh"
registries=("${@:2}")
[ ${#registries[@]} -gt 0 ] || registries=(ocireg distribution-2.8 distribution-3 zot)

# registry NAME starts a registry without content.
registry() {
	case $1 in
	ocireg) ocireg -sparse ;; # as some tests require
	distribution-2.8)
		cat >"$work/distribution.yml" <<-END
			version: 0.1
			log: {level: info}
			http: {addr: '127.0.0.1:0'}
			storage: {inmemory: {}, delete: {enabled: true}}
		END
		start 'listening on (127\.0\.0\.1:[0-9]+)' docker-registry serve "$work/distribution.yml"
		;;
	distribution-3)
		[ -f "$work/distribution" ] || (cd internal/bench && go build -o "$work/distribution" ./distribution)
		start '^http://([^ ]*)' "$work/distribution"
		;;
	zot)
		rm -rf "$work/zot"
		cat >"$work/zot.json" <<-END
			{"storage": {"rootDirectory": "$work/zot", "gc": false},
			"http": {"address": "127.0.0.1", "port": "0"}, "log": {"level": "info"}}
		END
		start 'kernel chosen port","port":([0-9]+)' zot serve "$work/zot.json"
		url=http://127.0.0.1:${url#http://}
		;;
	*) echo "there is no registry $1" >&2 && exit 2 ;;
	esac
}

# outcomes FILE prints a line for each test of a report, with its result, and one
# for each line of its errors, without what is random: hosts, sessions, digests,
# texts, sizes and the order of errors.
outcomes() {
	sed -n '/^OCI Conformance Test/,/^OCI Conformance Result/p' "$1" |
		awk '/^ *OCI Conformance Test.*: (Pass|FAIL|Error|Skip|Disabled)$/ { test = $0; print; next } { sub(/^ *- /, ""); print test, $0 }' |
		sed -E 's/127\.0\.0\.1:[0-9]+/HOST/g; s/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/SESSION/g; s/[0-9a-f]{32,}/HEX/g; s/\b[A-Z2-7]{26}\b/TEXT/g; s/("size":|Content-Length", expected )"?[0-9]+/\1SIZE/g' |
		sort
}

failed=
{
	echo "| registry | version | pass | fail | error | skip | disabled | different through a proxy |"
	echo "|---|---|---|---|---|---|---|---|"
} >"$work/table"

# compare NAME VERSION runs all tests twice and adds a row to the table.
compare() {
	local name=$1 version=$2 report different
	report="$work/$name-$version"
	registry "$name"
	suite "$version" all "$report"
	outcomes "$report" >"$report.outcomes"
	stop
	registry "$name"
	ocireg -upstream "$url"
	suite "$version" all "$report-through"
	outcomes "$report-through" >"$report-through.outcomes"
	stop
	different=$(diff "$report.outcomes" "$report-through.outcomes" | tee "$report.diff" | grep -c '^[<>]' || true)
	echo "| $name | $version |$(counts "$report") $different |" | tee -a "$work/table"
	[ "$different" = 0 ] && [ "$(wc -l <"$report.outcomes")" -gt 100 ] || { failed=yes && cut -c1-300 "$report.diff" | head -n 20 >&2; }
}

for name in "${registries[@]}"; do
	for version in 1.0 1.1 dev; do
		compare "$name" $version
	done
done
[ -z "$failed" ] || exit 1
[ $# != 1 ] || publish through "$work/table"
