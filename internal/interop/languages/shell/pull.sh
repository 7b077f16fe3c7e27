#!/bin/sh
# Tests pulls of an image with curl and skopeo.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d) && cd "$dir"
ocireg -quiet -addr :0 -control :0 -ready-file ready.json >/dev/null &
ocireg=$!
trap 'kill $ocireg; wait $ocireg; rm -rf "$dir"' EXIT

fail() { echo "FAIL: $*" >&2 && exit 1; }
field() { sed -n "s/.*\"$1\":\[*\"\([^\"]*\)\".*/\1/p"; }
control() { curl -sS --fail-with-body -H "Authorization: Bearer $token" -X "$1" "$control$2" -d "${3-}" -H "Accept: ${4-*/*}"; }
pull() { skopeo --insecure-policy copy --src-tls-verify=false "$@" "docker://$host/team/app:v1" "oci:$dir/image:v1"; }

until [ -e ready.json ]; do
	kill -0 $ocireg || fail "ocireg has ended"
	sleep 0.1
done
registry=$(field registry <ready.json) control=$(field control <ready.json) token=$(field token <ready.json)
host=${registry#http://}
seed() { control POST /v1/content '{"ref": "team/app:v1", "image": {"layers": 1}}'; }
layer=$(seed | field layers)

# 503 twice, then all is well. The last request fails unless the rule hit two.
control POST /v1/faults 'get-manifest times=2 status=503'
for _ in 1 2; do
	pull 2>/dev/null && fail "skopeo has pulled an image in spite of 503"
done
pull
[ "$(control GET '/v1/requests?op=get-manifest&status=503' | wc -l)" = 2 ] || fail "not two requests with 503"
control DELETE '/v1/faults?check'
control POST /v1/reset && seed

# A gate holds a blob back.
hold=$(control POST /v1/holds "get-blob digest=$layer" | field id)
rm -rf image
pull & pull=$!
control GET "/v1/holds/$hold?wait=10s&count=1" | grep -q '"waiting":\["get-blob'
kill -0 $pull || fail "skopeo did not wait"
control POST "/v1/holds/$hold/release"
wait $pull
control POST /v1/reset && seed

# A blob that is cut, and then is not. The golden file has all requests of curl.
curl -sSf -o manifest "$registry/v2/team/app/manifests/v1"
control POST /v1/faults 'get-blob once close=100'
curl -sSf -o layer "$registry/v2/team/app/blobs/$layer" 2>/dev/null && fail "curl takes a part for all"
curl -sSf -o layer "$registry/v2/team/app/blobs/$layer"
echo "${layer#sha256:}  layer" | sha256sum --check
control GET /v1/requests '' text/x-golden | diff "$here/../pull.golden" -

control POST /v1/reset
[ "$(curl -s -o /dev/null -w '%{http_code}' "$registry/v2/team/app/manifests/v1")" = 404 ] || fail "the image is still there"
