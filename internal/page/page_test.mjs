// Tests of the functions of page.mjs that need no document: node --test page_test.mjs

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { execFileSync } from 'node:child_process';
import { Buffer } from 'node:buffer';
import * as page from './page.mjs';

const bytesOf = text => new TextEncoder().encode(text);

// record returns a request with some of its fields.
function record(fields = {}) {
  return { ...page.entry({ number: 1, op: 'get-blob', method: 'GET', url: 'http://127.0.0.1:5000/v2/a/blobs/x', status: 200, start: '2026-01-01T00:00:00Z' }), ...fields };
}

// stream returns a stream of some bytes in pieces.
function stream(data, size = 1000) {
  let at = 0;
  return new ReadableStream({
    pull(c) {
      if (at >= data.length) c.close();
      else c.enqueue(data.subarray(at, at += size));
    },
  });
}

// header returns the block of an entry of a tar file.
function header(name, size, { type = '0', mode = 0o644, link = '', prefix = '', base256 = false } = {}) {
  const b = Buffer.alloc(512);
  b.write(name, 0, 100);
  b.write(mode.toString(8).padStart(7, '0'), 100);
  b.write('0000000', 108);
  b.write('0000000', 116);
  if (base256) {
    b.writeBigUInt64BE(BigInt(size), 128);
    b[124] = 0x80;
  } else b.write(size.toString(8).padStart(11, '0'), 124);
  b.write(type, 156);
  b.write(link, 157, 100);
  b.write('ustar\x0000', 257);
  b.write(prefix, 345);
  b.fill(' ', 148, 156);
  b.write(b.reduce((a, x) => a + x, 0).toString(8).padStart(6, '0') + '\0 ', 148);
  return b;
}

function file(name, content = '', options) {
  const data = Buffer.from(content);
  return Buffer.concat([header(name, data.length, options), data, Buffer.alloc((512 - data.length % 512) % 512)]);
}

const paxRecord = (key, value) => {
  for (let n = 1; ; n++) {
    const text = `${n} ${key}=${value}\n`;
    if (Buffer.byteLength(text) === n) return text;
  }
};

async function list(data, limits, size) {
  const entries = [];
  for await (const e of page.tar(stream(data, size), limits)) entries.push(e);
  return entries;
}

const end = Buffer.alloc(1024);

test('tar: names, sizes, modes and links', async () => {
  const data = Buffer.concat([
    file('etc/', '', { type: '5', mode: 0o755 }),
    file('etc/motd', 'hello\n'),
    file('bin/su', 'x'.repeat(700), { mode: 0o4755 }),
    file('etc/link', '', { type: '2', link: '../motd' }),
    file('name', 'y', { prefix: 'a/long/prefix' }),
    file('././@PaxHeader', paxRecord('path', 'ünï/päth') + paxRecord('size', '3'), { type: 'x' }), file('short', 'abc'),
    file('././@LongLink', 'n'.repeat(300) + '\0', { type: 'L' }), file('n', 'z'),
    file('g', paxRecord('comment', 'x'), { type: 'g' }),
    file('large', 'abcd', { base256: true }),
    end,
  ]);
  for (const size of [1, 7, 511, 512, 100000]) {
    const got = await list(data, {}, size);
    assert.deepEqual(got.map(e => [page.mode(e), e.size, e.name, e.link]), [
      ['drwxr-xr-x', 0, 'etc/', ''],
      ['-rw-r--r--', 6, 'etc/motd', ''],
      ['-rwsr-xr-x', 700, 'bin/su', ''],
      ['lrw-r--r--', 0, 'etc/link', '../motd'],
      ['-rw-r--r--', 1, 'a/long/prefix/name', ''],
      ['-rw-r--r--', 3, 'ünï/päth', ''],
      ['-rw-r--r--', 1, 'n'.repeat(300), ''],
      ['-rw-r--r--', 4, 'large', ''],
    ]);
  }
});

test('tar: what tar writes', async t => {
  let data;
  try {
    data = execFileSync('tar', ['-C', import.meta.dirname, '-cf', '-', 'page.go', 'page.css'], { stdio: 'pipe' });
  } catch (err) {
    t.skip(`tar: ${err.message}`);
    return;
  }
  assert.deepEqual((await list(data)).map(e => e.name), ['page.go', 'page.css']);
});

test('tar: limits and broken files', async () => {
  const many = Buffer.concat([...Array(20)].map((_, i) => file(`f${i}`)));
  await assert.rejects(list(many, { entries: 10 }), /more than 10 entries/);
  await assert.rejects(list(file('big', 'x'.repeat(5000)), { bytes: 2000 }), /larger than this page reads/);
  await assert.rejects(list(file('x', 'y'.repeat(3000), { type: 'x' }), { header: 1000 }), /header is too large/);
  await assert.rejects(list(file('cut', 'x'.repeat(5000)).subarray(0, 2000)), /in the middle/);
  await assert.rejects(list(file('cut').subarray(0, 100)), /in the middle/);
  await assert.rejects(list(Buffer.alloc(512, 'junk')), /no tar file/);
  await assert.rejects(list(file('p', '9 broken', { type: 'x' })), /header is broken/);
  await assert.rejects(list(file('p', '0 a=b\n', { type: 'x' })), /header is broken/);
  await assert.rejects(list(Buffer.concat([file('p', paxRecord('size', '-5'), { type: 'x' }), file('x')])), /no size/);
  await assert.rejects(list(Buffer.concat([file('p', paxRecord('size', '99999999999999999999'), { type: 'x' }), file('x')])), /no size/);
  await assert.rejects(list(header('x', Number.MAX_SAFE_INTEGER, { base256: true })), /in the middle/);
  assert.deepEqual(await list(Buffer.alloc(0)), []);
  assert.deepEqual(await list(end), []);
  // A file that is never read to its end is let go.
  let cancelled = false;
  const endless = new ReadableStream({ pull: c => c.enqueue(file('again', 'x')), cancel: () => { cancelled = true; } });
  await assert.rejects((async () => { for await (const _ of page.tar(endless, { entries: 100 })); })(), /more than 100/);
  await new Promise(setImmediate);
  assert.ok(cancelled);
});

test('tar: noise never hangs and fails in a sentence', async () => {
  let seed = 1;
  const random = n => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n;
  const good = Buffer.concat([file('a', 'hello'), file('p', paxRecord('path', 'b'), { type: 'x' }), file('c', 'x'.repeat(600)), end]);
  for (let i = 0; i < 400; i++) {
    const data = Buffer.from(good.subarray(0, random(good.length) + 1));
    for (let j = random(4); j > 0; j--) data[random(data.length)] = random(256);
    try {
      await list(data, { bytes: 1 << 16, entries: 50 }, 1 + random(700));
    } catch (err) {
      assert.match(err.message, /^(it|an) /, err.stack);
    }
  }
});

test('isTar and compression', () => {
  assert.ok(page.isTar(file('x')));
  assert.ok(!page.isTar(Buffer.alloc(512)));
  assert.ok(!page.isTar(Buffer.from('{}')));
  assert.equal(page.compression(Uint8Array.of(0x1f, 0x8b, 8, 0)), 'gzip');
  assert.equal(page.compression(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd)), 'zstd');
  assert.equal(page.compression(new Uint8Array(0)), '');
});

test('filter', () => {
  const all = [
    record({ number: 1, op: 'ping', url: 'http://h/v2/', took: 0.1 }),
    record({ number: 2, op: 'get-manifest', repo: 'team/app', tag: 'v1', user: 'ci', took: 30, out: 700 }),
    record({ number: 3, repo: 'team/app/base', digest: 'sha256:abcd', status: 503, fault: 'get-blob once status=503', errors: [{ code: 'UNAVAILABLE', message: '' }] }),
    record({ number: 4, repo: 'other', status: 206, out: 5_000_000, notes: ['quirk=ecr.patch-201 (https://example.com)'], conn: 3 }),
    record({ number: 5, repo: 'other', status: 0, err: 'connection closed', method: 'PUT', op: 'put-manifest', in: 900, findings: [{ rule: 'accept', text: '' }] }),
    record({ number: 6, status: 200, ongoing: true }),
    record({ number: 7, repo: 'other', status: 404, gone: true }),
  ];
  for (const [text, want] of Object.entries({
    '': '1234567', '   ': '1234567', 'op:ping': '1', '-op:ping': '234567', 'op:get-*': '23467', 'repo:team/*': '2', 'repo:team/**': '23',
    'repo:OTHER': '457', 'repo:': '16', 'tag:v1': '2', 'user:ci': '2', 'conn:3': '4', 'method:put': '5', 'status:503': '3', 'status:5xx': '3', 'status:>=400': '37',
    'status:<300': '1246', 'status:cut': '5', 'is:failed': '357', '-is:failed status:2xx': '1246', 'is:fault': '3', 'is:quirk': '4', 'is:finding': '5', 'is:gone': '7',
    'is:ongoing': '6', 'took:>10ms': '2', 'took:>1s': '', 'size:>1MB': '4', 'size:<1kB -is:ongoing': '12357', 'unavailable': '3', 'sha256:abcd': '3', 'digest:sha256:a*': '3',
    'team/app v1': '2', 'ecr': '4', 'is:nothing': '', '-': '234567', '"connection closed"': '5', 'op:(': '', 'status:x': '', 'took:fast': '', 'op:put-* is:finding other': '5',
  })) {
    assert.equal(all.filter(page.filter(text)).map(r => r.number).join(''), want, text);
  }
});

test('shell', () => {
  for (const word of ['plain', "it's", '$(reboot)', '`x`', 'a b', '', '"q"', '\\', '!', '*', '~', 'a\nb', '-x', ';&|', '\u202e', "''"]) {
    assert.equal(execFileSync('sh', ['-c', `printf %s. ${page.shell(word)}`]).toString(), `${word}.`);
  }
});

test('curl', () => {
  const r = record({
    method: 'PATCH', op: 'patch-upload', url: "http://127.0.0.1:5000/v2/a/blobs/uploads/x?a=b&c='d'", in: 5, requestBody: bytesOf("it's\n"),
    requestHeaders: [['Host', 'x'], ['Content-Length', '5'], ['Authorization', 'Bearer redacted'], ['Accept', 'a/b;q="1"'], ['X-Empty', ''], ['X-Evil', "'; reboot #"]],
  });
  const command = page.curl(r);
  // The shell passes these arguments to curl.
  const args = execFileSync('sh', ['-c', `curl() { printf '%s\\0' "$@"; }; CREDENTIALS=c; ${command}`]).toString().split('\0').slice(0, -1);
  assert.deepEqual(args, ['--include', '--globoff', '--path-as-is', '--request', 'PATCH', '--header', 'Authorization: Bearer c', '--header', 'Accept: a/b;q="1"',
    '--header', 'X-Empty;', '--header', "X-Evil: '; reboot #", '--data-raw', "it's\n", r.url]);
  assert.match(page.curl(record({ method: 'HEAD' })), /--head http/);
  assert.equal(page.curl(record()), 'curl --include --globoff --path-as-is http://127.0.0.1:5000/v2/a/blobs/x');
  assert.match(page.curl(record({ method: 'PUT', in: 9, requestBody: bytesOf('part') })), /--data-binary @body/);
  assert.match(page.curl(record({ method: 'PUT', in: 3, requestBody: Uint8Array.of(0xff, 0, 1) })), /--data-binary @body/);
});

test('rules and lines of Go', () => {
  const r = record({ repo: 'team/app', digest: 'sha256:00' });
  assert.equal(page.rule(r), 'get-blob repo=team/app digest=sha256:00 once status=503');
  assert.equal(page.goFault(r), 'reg.Fault(t, fault.On(registry.GetBlob).Repo("team/app").Digest("sha256:00").Once().Status(503))');
  assert.equal(page.goQuery(r), 'reg.Requests().Op(registry.GetBlob).Repo("team/app").Digest("sha256:00").Status(200)');
  const m = record({ op: 'get-manifest', repo: 'a', tag: 'v1', digest: 'sha256:00', status: 404 });
  assert.equal(page.rule(m), 'get-manifest repo=a tag=v1 once status=404');
  assert.equal(page.rule(record({ repo: 'a,b "c"\\' })), 'get-blob repo="a\\\\,b \\"c\\"\\\\\\\\" once status=503');
  const faulted = record({ fault: 'get-blob message="a; b" status=503; any delay=1s' });
  assert.deepEqual(page.rules(faulted.fault), ['get-blob message="a; b" status=503', 'any delay=1s']);
  assert.equal(page.rule(faulted), 'get-blob message="a; b" status=503');
  assert.equal(page.rule(record({ fault: 'fault', status: 500 })), 'get-blob once status=500');
  assert.match(page.goFault(record({ fault: 'fault' })), /^reg.Fault/);
  assert.deepEqual(page.rules(''), []);
  assert.deepEqual(page.rules('a "unclosed; b'), ['a "unclosed', 'b']);
  assert.deepEqual(page.rules('a "b\\"; c"; d'), ['a "b\\"; c"', 'd']);
});

test('text', () => {
  assert.equal(page.visible('a\u202eb\u0000\n'), 'a\\u202eb\\u0000\\u000a');
  assert.equal(page.visibleLines('a\n\tb\r'), 'a\n\tb\\u000d');
  assert.deepEqual([0, 999, 1000, 1234, 9999, 12345678, -1, NaN].map(page.bytes), ['0 B', '999 B', '1.0 kB', '1.2 kB', '10 kB', '12 MB', '?', '?']);
  assert.deepEqual([0, 0.0123, 0.9999, 1.25, 45, 999.9, 1234, 61000, -1].map(page.took), ['0 µs', '12 µs', '1.0 ms', '1.3 ms', '45 ms', '1.00 s', '1.23 s', '1 min 1 s', '?']);
  assert.equal(page.short(`sha256:${'ab'.repeat(32)}`), 'sha256:abababababab…');
  assert.equal(page.short('sha256:abc'), 'sha256:abc');
  assert.equal(page.target(record({ op: 'mount-blob', repo: 'a', digest: 'sha256:1', from: 'b' })), 'a@sha256:1 from b');
  assert.equal(page.target(record({ op: 'unknown', url: 'http://h/v2/<b>\u202e' })), '/v2/<b>\\u202e');
  assert.equal(page.target(record({ op: 'list-tags', repo: 'a', url: 'http://h/v2/a/tags/list?n=2' })), 'a?n=2');
});

test('redact', () => {
  assert.equal(page.redact('{"token":"s","access_token":"s","a":{"password":"s"},"n":1}').match(/"s"/), null);
  assert.equal(page.redact('service=x&password=s&refresh_token=s'), 'service=x&password=redacted&refresh_token=redacted');
  assert.equal(page.redact('not json'), 'not json');
  assert.equal(page.redact('3'), '3');
});

test('hex', () => {
  assert.equal(page.hex(bytesOf('hello\u0000')), '000000  68 65 6c 6c 6f 00                                hello.');
});

test('events', async () => {
  const got = [];
  const data = bytesOf('id: 1\ndata: {"a":"ü"}\n\n: comment\n\nid:2\ndata: x\ndata:y\r\n\r\nevent: end\ndata: z\n\ndata: cut');
  for (const size of [1, 3, 1000]) for await (const e of page.events(stream(data, size))) got.push([e.id, e.event, e.data]);
  const once = [['1', 'message', '{"a":"ü"}'], ['2', 'message', 'x\ny'], ['2', 'end', 'z']];
  assert.deepEqual(got, [...once, ...once, ...once]);
});

test('Log: order, replacement, filter, findings and bursts', () => {
  const log = new page.Log(10);
  const at = (number, start, took = 5, fields = {}) => record({ number, start, took, ...fields });
  log.add([at(1, 0), at(2, 100, 0, { ongoing: true }), at(3, 5000)]);
  log.refresh();
  assert.deepEqual(log.shown.map(e => e.number), [1, 2, 3]);
  assert.ok(log.entries[0].burst === log.entries[1].burst && log.entries[1].burst !== log.entries[2].burst);
  assert.equal(log.entries[2].burst.after, 4995);
  log.add([at(2, 100, 700, { status: 503 })]);
  assert.equal(log.entries[0].burst.end, 800);
  log.select('status:503');
  log.refresh();
  assert.deepEqual(log.shown.map(e => e.number), [2]);
  log.add([at(4, 5100, 1, { status: 503 }), at(5, 5101)]);
  log.refresh();
  assert.deepEqual(log.shown.map(e => e.number), [2, 4]);
  log.find([{ number: 5, rule: 'accept', text: '' }, { number: 99, rule: 'x', text: '' }]);
  log.select('is:finding');
  log.refresh();
  assert.deepEqual(log.shown.map(e => e.number), [5]);
  log.select('');
  log.add([7, 6, 8, 9, 10, 11].map(n => at(n, 5200)));
  log.refresh();
  assert.deepEqual(log.entries.map(e => e.number), [3, 4, 5, 6, 7, 8, 9, 10, 11]);
  assert.equal(log.dropped, 2);
  assert.equal(log.counts().failed, 1);
});

test('each operation has a section of the spec, or none', () => {
  for (const op of Object.keys(page.ops)) {
    const s = page.specOf(op);
    if (s) assert.equal(s.url.split('#')[1], op === 'discover' ? '' : s.section.toLowerCase().replaceAll(' ', '-'), op);
  }
  assert.equal(page.specOf('nonsense'), null);
});

test('sources', () => {
  assert.deepEqual(page.sources('Listing Tags, Listing Referrers; RFC 5988; RFC 9110, sections 9.3.1, 9.3.2').map(s => [s.text, s.url.replace(/.*\/(spec.md|rfc\/)/, '')]), [
    ['Listing Tags', '#listing-tags'], ['Listing Referrers', '#listing-referrers'], ['RFC 5988', 'rfc5988'], ['RFC 9110, sections 9.3.1, 9.3.2', 'rfc9110#section-9.3.1']]);
  assert.deepEqual(page.sources('the test itself'), [{ text: 'the test itself', url: '' }]);
});
