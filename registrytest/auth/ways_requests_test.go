package auth_test

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// waysByPath returns attacks with a path that the parts of a server could read
// differently.
func waysByPath(c credentials) (all []way) {
	eve := c.as(c.eve, "team/app")
	blob := string(digest.FromString(secretBlob))
	for _, path := range []string{
		"/v2/team/../secret/app/manifests/v1",
		"/v2/team/%2e%2e/secret/app/manifests/v1",
		"/v2/team/.%2e/secret/app/manifests/v1",
		"/v2/team%2f..%2fsecret%2fapp/manifests/v1",
		"/v2/team/app/manifests/../../../secret/app/manifests/v1",
		"/v2/team/app/manifests/..%2f..%2f..%2fsecret%2fapp%2fmanifests%2fv1",
		"/v2/team/app/blobs/../../../secret/app/blobs/" + blob,
		"/v2/team/app/blobs/uploads/../../../../secret/app/blobs/" + blob,
		"/v2//secret/app/manifests/v1",
		"//v2/secret/app/manifests/v1",
		"/v2/secret//app/manifests/v1",
		"/v2/secret/app//manifests/v1",
		"/v2/secret/app/manifests//v1",
		"/v2/secret/app/manifests/v1/",
		"/v2/./secret/app/manifests/v1",
		"/v2/secret/./app/manifests/v1",
		"/v2/secret/app/./manifests/v1",
		"/./v2/secret/app/manifests/v1",
		"/V2/secret/app/manifests/v1",
		"/v2/SECRET/app/manifests/v1",
		"/v2/Secret/App/manifests/v1",
		"/v2/secret/app/Manifests/v1",
		"/v2/secret/app/manifests/V1",
		"/v2/secret%2fapp/manifests/v1",
		"/v2/secret%2Fapp/manifests/v1",
		"/v2/secret%252fapp/manifests/v1",
		"/%762/secret/app/manifests/v1",
		"/v2/%73ecret/app/manifests/v1",
		"/v2/secret/app/%6danifests/v1",
		"/v2/secret/app/manifests/%761",
		"/v2/secret/app%00/manifests/v1",
		"/v2/secret/app/manifests/v1%00",
		"/v2/team/app%00/../../secret/app/manifests/v1",
		"/v2/secret/app;team/manifests/v1",
		"/v2/secret/app;/manifests/v1",
		"/v2/secret\\app/manifests/v1",
		"/v2/team/..\\..\\secret\\app/manifests/v1",
		"/v2/ſecret/app/manifests/v1",
		"/v2/secret\u200b/app/manifests/v1",
		"/v2/ secret/app/manifests/v1",
		"/v2/secret/app /manifests/v1",
		"/v2/secret/app\t/manifests/v1",
		"/v2/secret/app/manifests/v1#/v2/team/app/manifests/v1",
		"/v2/secret/app/manifests/v1?/v2/team/app",
		"/v2/secret/app/manifests/v1?name=team/app",
		"/v2/secret/app/manifests/v1?repo=team/app&from=team/app&mount=" + blob,
		"/v2/secret/app/manifests/v1?ns=team",
		"/v2/secret/app/manifests/v1?ns=docker.io",
		"/v2/team/app/manifests/v9?ns=secret",
		"/v2/app/manifests/v1?ns=secret",
		"/v2/secret/app/manifests/v1?access_token=x",
		"/v2/secret/app/manifests/v1;v2",
		"/token/../v2/secret/app/manifests/v1",
		"/v2/_catalog/../secret/app/manifests/v1",
		"/v2/team/app/tags/list/../../../../secret/app/tags/list",
		"/v2/team/app/referrers/../../../secret/app/manifests/v1",
		"/v2/secret/app/manifests/" + strings.ToUpper(blob),
		"/v2/secret/app/blobs/" + strings.Replace(blob, ":", "%3a", 1),
		"/v2/secret/app/blobs/" + strings.Replace(blob, "sha256:", "sha512:", 1),
		"/v2/team/app/blobs/" + blob,
		"/v2/team/app/manifests/" + blob,
		"/v2/team/app/manifests/" + string(digest.FromString(secretManifest)),
		"/v2/team/app/referrers/" + string(digest.FromString(secretManifest)),
		"/v2/team/app/secret/app/manifests/v1",
		"/v2/team/secret/app/manifests/v1",
		"http://secret.test/v2/secret/app/manifests/v1",
		"http://eve@registry.test/v2/secret/app/manifests/v1",
		"http://owner:x@registry.test/v2/secret/app/manifests/v1",
		"*",
		"",
	} {
		all = append(all, way{"path " + path, func(w *world) {
			for _, method := range []string{"GET", "HEAD"} {
				w.send(method, path, "")
				w.send(method, path, "", eve)
			}
		}})
	}
	return all
}

// waysByHeader returns attacks with header fields that a server may trust, for
// example if it is behind a proxy.
func waysByHeader(c credentials) (all []way) {
	eve := c.as(c.eve, "team/app")
	manifest := string(digest.FromString(secretManifest))
	for _, line := range []string{
		"X-Forwarded-User: owner", "X-Remote-User: owner", "Remote-User: owner", "X-Auth-Request-User: owner", "X-Authenticated-User: owner",
		"X-Webauth-User: owner", "X-User: owner", "From: owner", "X-Ssl-Client-Cn: owner", "X-Client-Cert: owner", "X-Forwarded-Client-Cert: Subject=\"CN=owner\"",
		"X-Forwarded-For: 127.0.0.1", "X-Real-Ip: 127.0.0.1", "Forwarded: for=127.0.0.1;host=registry.test", "X-Forwarded-Host: localhost", "X-Forwarded-Prefix: /v2/team",
		"X-Original-Url: /v2/team/app/manifests/v1", "X-Rewrite-Url: /v2/", "X-Http-Method-Override: OPTIONS", "X-Method-Override: PUT", "X-Http-Method: DELETE",
		"Proxy-Authorization: Basic b3duZXI6", "Www-Authenticate: Basic realm=x", "Authentication-Info: owner", "X-Registry-Auth: eyJ1c2VybmFtZSI6Im93bmVyIn0=",
		"X-Registry-Config: e30=", "X-Api-Key: owner", "X-Auth-Token: owner", "Private-Token: owner", "X-Access-Token: owner",
		"Cookie: user=owner; session=1; token=x", "Cookie: Authorization=Basic b3duZXI6",
		"Range: bytes=0-", "Range: bytes=-5", "Range: bytes=0-0,1-1", "Range: items=0-1", "If-Range: \"" + manifest + "\"",
		"If-None-Match: *", "If-Match: *", "If-None-Match: \"" + manifest + "\"", "If-Match: \"" + manifest + "\"", "If-None-Match: W/\"" + manifest + "\"",
		"If-Modified-Since: Mon, 01 Jan 2001 00:00:00 GMT", "If-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT",
		"Accept: */*", "Accept: text/html", "Expect: 100-continue", "Connection: Authorization", "Upgrade: h2c", "Te: trailers", "Origin: http://registry.test", "Host: secret",
		"Docker-Content-Digest: " + manifest, "Docker-Upload-Uuid: x", "Content-Length: 0", "Transfer-Encoding: chunked", "Accept-Encoding: gzip",
	} {
		name, value, _ := strings.Cut(line, ": ")
		all = append(all, way{"field " + line, func(w *world) {
			pullSecret(header{name: {value}})(w)
			pullSecret(eve, header{name: {value}})(w)
		}})
	}
	return all
}

// waysByContent returns attacks by a user who may push to team/app: mounts and
// manifests that refer to content of secret/app.
func waysByContent(c credentials) (all []way) {
	eve := c.as(c.eve, "team/app")
	for what, d := range map[string]string{"blob": string(digest.FromString(secretBlob)), "manifest": string(digest.FromString(secretManifest))} {
		for _, query := range []string{
			"mount=" + d, "mount=" + d + "&from=", "mount=" + d + "&from=secret/app", "from=secret/app&mount=" + d, "mount=" + d + "&from=SECRET/app",
			"mount=" + d + "&from=team/app&from=secret/app", "mount=" + d + "&from=secret/app&from=team/app", "mount=" + d + "&from=secret%2fapp",
			"mount=" + d + "&from=team/../secret/app", "mount=" + d + "&from=registry.test/secret/app", "mount=" + d + "&from=*", "mount=" + d + "&from=secret/app%00",
			"mount=" + d + "&mount=" + d + "&from=secret/app", "mount=" + d + "&from=secret/app&digest=" + d, "digest=" + d, "from=secret/app",
		} {
			all = append(all, way{"upload to team/app with the " + what + " and ?" + query, func(w *world) {
				w.send("POST", "/v2/team/app/blobs/uploads/?"+query, "", eve)
				w.send("GET", "/v2/team/app/blobs/"+d, "", eve)
			}})
		}
		for name, attack := range attacks(d) {
			all = append(all, way{fmt.Sprintf("a manifest in team/app that has the %s as %s", what, name), func(w *world) {
				body := `{"schemaVersion":2,` + attack[1] + `}`
				h := header{"Content-Type": {attack[0]}}
				w.send("PUT", "/v2/team/app/manifests/attack", body, eve, h)
				for _, path := range []string{"blobs/", "manifests/"} {
					w.send("GET", "/v2/team/app/"+path+d, "", eve)
				}
				w.send("GET", "/v2/team/app/referrers/"+d, "", eve)
			}})
		}
	}
	return all
}
