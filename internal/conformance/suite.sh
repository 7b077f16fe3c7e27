# The other scripts here source this file. It builds the official conformance suite
# from the checkout that the first argument names, and ocireg, in $work.
#
# Variables: spec is the checkout, work is a temporary directory, document is the
# page with the tables. The working directory becomes that of the module.

[ $# -gt 0 ] && [ -f "$1/conformance/go.mod" ] || {
	echo "usage: $0 DIR, a checkout of github.com/opencontainers/distribution-spec" >&2
	exit 2
}
spec=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
document=docs/conformance.md

work=$(mktemp -d)
servers=()
trap 'stop; rm -rf "$work"' EXIT

# start PATTERN COMMAND... runs a server, until stop. It sets url to the part in
# parentheses of the first line of output that the pattern matches.
start() {
	local pattern=$1 line out="$work/out.${#servers[@]}"
	shift
	mkfifo "$out"
	"$@" >"$out" 2>&1 &
	servers+=($!)
	exec {fd}<"$out"
	rm "$out"
	url=
	while [ -z "$url" ] && read -r line <&"$fd"; do
		[[ ! $line =~ $pattern ]] || url=http://${BASH_REMATCH[1]}
	done
	[ -n "$url" ] || { echo "$* did not start: $line" >&2; exit 1; }
	cat <&"$fd" >/dev/null &
	exec {fd}<&-
}

# stop ends all servers.
stop() {
	[ ${#servers[@]} = 0 ] || { kill "${servers[@]}" && wait "${servers[@]}"; } 2>/dev/null || true
	servers=()
}

# ocireg FLAG... starts ocireg on a free port.
ocireg() { start '^http://([^ ]*)' "$work/ocireg" -addr 127.0.0.1:0 -quiet "$@"; }

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

# suite VERSION TESTS FILE [SETTING...] runs the suite against the registry at url
# and writes its report to the file. TESTS is "default" or "all".
suite() {
	local version=$1 tests=$2 file=$3 settings=()
	shift 3
	[ "$tests" = default ] || mapfile -t settings < <(toggles)
	settings+=(OCI_VERSION="$version" OCI_TLS=disabled OCI_RESULTS_DIR="$work/results" OCI_CONFIGURATION=/dev/null)
	env "${settings[@]}" "$@" OCI_REGISTRY="${url#http://}" "$work/suite" >"$file" 2>"$file.log" || true
}

# counts FILE prints how many tests there were of each result, as cells of a table.
counts() {
	local count
	for count in Pass FAIL Error Skip Disabled; do
		echo -n " $(sed -n "s/^  $count\.*: *//p" "$1" | head -n 1) |"
	done
}

# publish NAME FILE replaces the part of the document between the marks of that
# name by the file.
publish() {
	{
		sed "/^<!-- $1 -->\$/q" "$document"
		echo
		echo "Suite: distribution-spec $(git -C "$spec" rev-parse --short HEAD), $(go env GOVERSION) $(go env GOOS)/$(go env GOARCH)."
		echo
		cat "$2"
		sed "1,/^<!-- $1 -->\$/d" "$document" | sed -n '/^<!-- end -->$/,$p'
	} >"$work/document"
	cp "$work/document" "$document"
}

(cd "$spec/conformance" && go build -o "$work/suite" .)
go build -o "$work/ocireg" ./cmd/ocireg
