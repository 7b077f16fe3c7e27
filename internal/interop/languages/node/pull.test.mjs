import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { getLayer, getManifest } from "@snyk/docker-registry-v2-client";

let ocireg, ready, image, manifest, blob;
const sha256 = (bytes) => "sha256:" + createHash("sha256").update(bytes).digest("hex");
const pull = (what, reference) => what(new URL(ready.registry).host, "team/app", reference, "", "", { protocol: "http:" });

async function control(method, path, body, headers) {
	const response = await fetch(ready.control + path, { method, body, headers: { ...headers, Authorization: "Bearer " + ready.token } });
	const text = await response.text();
	assert.ok(response.ok, text);
	return response.headers.get("Content-Type") === "application/json" ? JSON.parse(text) : text;
}

before(async () => {
	const file = mkdtempSync(tmpdir() + "/pull-") + "/ready.json";
	ocireg = spawn("ocireg", ["-quiet", "-addr", ":0", "-control", ":0", "-ready-file", file], { stdio: "ignore" });
	while (!existsSync(file)) assert.equal(ocireg.exitCode, null, "ocireg has ended"), await setTimeout(10);
	ready = JSON.parse(readFileSync(file));
});
after(() => ocireg.kill());
beforeEach(async () => {
	image = await control("POST", "/v1/content", '{"ref": "team/app:v1", "image": {"layers": 1}}');
	[manifest, blob] = ["manifests/v1", "blobs/" + image.layers[0]].map((path) => `${ready.registry}/v2/team/app/${path}`);
});
afterEach(() => control("POST", "/v1/reset"));

test("503 twice", async () => {
	await control("POST", "/v1/faults", "get-manifest times=2 status=503");
	await assert.rejects(pull(getManifest, "v1"), { statusCode: 503 }); // The client has tried twice.
	assert.equal((await pull(getManifest, "v1")).manifestDigest, image.digest);
	const requests = await control("GET", "/v1/requests?op=get-manifest&repo=team/app");
	assert.deepEqual(requests.trim().split("\n").map((line) => JSON.parse(line).status), [503, 503, 200]);
	await control("DELETE", "/v1/faults?check"); // fails unless the rule hit two requests
});
test("gate", async () => {
	const { id } = await control("POST", "/v1/holds", "get-blob");
	const layer = pull(getLayer, image.layers[0]);
	assert.equal((await control("GET", `/v1/holds/${id}?wait=10s`)).waiting.length, 1);
	await control("POST", `/v1/holds/${id}/release`);
	assert.equal(sha256(await layer), image.layers[0]);
});
test("cut blob, golden and reset", async () => {
	await control("POST", "/v1/faults", "get-blob once close=100");
	await (await fetch(manifest)).text();
	await assert.rejects(async () => (await fetch(blob)).text(), /terminated/);
	assert.equal(sha256(await pull(getLayer, image.layers[0])), image.layers[0]);
	assert.equal(await control("GET", "/v1/requests", null, { Accept: "text/x-golden" }), readFileSync(new URL("../pull.golden", import.meta.url), "utf8"));
	await control("POST", "/v1/reset");
	assert.equal((await fetch(manifest)).status, 404);
});
