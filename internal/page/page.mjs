// The page of the control API. It is one module without dependencies.
//
// Everything that a client sent is hostile: it becomes text nodes and properties,
// never markup. The policy of the page makes the browser refuse anything else.
//
// The first part has no document, and page_test.mjs tests it under node; the
// second part is the page.

// ---- Operations ----

const spec = 'https://github.com/opencontainers/distribution-spec/blob/967efdc079b91785ad18c77cc4f8991a47feefbf/spec.md#';

// The operations, with their names in Go and the section of the spec that has
// them; page_test.go compares the names with package registry.
export const ops = {
  'unknown': ['UnknownOp', 'Endpoints', 'endpoints'],
  'ping': ['Ping', 'Determining Support', 'determining-support'],
  'get-blob': ['GetBlob', 'Pulling blobs', 'pulling-blobs'],
  'head-blob': ['HeadBlob', 'Checking if content exists in the registry', 'checking-if-content-exists-in-the-registry'],
  'delete-blob': ['DeleteBlob', 'Deleting Blobs', 'deleting-blobs'],
  'get-manifest': ['GetManifest', 'Pulling manifests', 'pulling-manifests'],
  'head-manifest': ['HeadManifest', 'Checking if content exists in the registry', 'checking-if-content-exists-in-the-registry'],
  'put-manifest': ['PutManifest', 'Pushing Manifests', 'pushing-manifests'],
  'delete-manifest': ['DeleteManifest', 'Deleting Manifests', 'deleting-manifests'],
  'delete-tag': ['DeleteTag', 'Deleting tags', 'deleting-tags'],
  'start-upload': ['StartUpload', 'POST then PUT', 'post-then-put'],
  'post-blob': ['PostBlob', 'Single POST', 'single-post'],
  'mount-blob': ['MountBlob', 'Mounting a blob from another repository', 'mounting-a-blob-from-another-repository'],
  'patch-upload': ['PatchUpload', 'Pushing a blob in chunks', 'pushing-a-blob-in-chunks'],
  'put-upload': ['PutUpload', 'POST then PUT', 'post-then-put'],
  'get-upload': ['GetUpload', 'Pushing a blob in chunks', 'pushing-a-blob-in-chunks'],
  'cancel-upload': ['CancelUpload', 'Cancel a blob upload', 'cancel-a-blob-upload'],
  'list-tags': ['ListTags', 'Listing Tags', 'listing-tags'],
  'list-referrers': ['ListReferrers', 'Listing Referrers', 'listing-referrers'],
  'catalog': ['ListRepositories', 'Endpoints', 'endpoints'],
  'discover': ['ListExtensions', '', ''],
  'token': ['GetToken', '', ''],
};

// specOf returns the section of the spec about an operation and its URL, or null.
export function specOf(op) {
  const [, section, anchor] = ops[op] ?? [];
  return section ? { section, url: spec + anchor } : null;
}

// sources returns the sections that are the source of a rule for clients, such as
// "Listing Tags, Listing Referrers; RFC 5988", each with its URL.
export function sources(text) {
  return text.split('; ').flatMap(part => {
    const rfc = /^RFC (\d+)(?:, sections? ([\d.]+))?/.exec(part);
    if (rfc) return [{ text: part, url: `https://www.rfc-editor.org/rfc/rfc${rfc[1]}${rfc[2] ? `#section-${rfc[2]}` : ''}` }];
    return part.split(', ').map(section => ({ text: section, url: /^[A-Z]/.test(section) ? spec + section.toLowerCase().replaceAll(' ', '-') : '' }));
  });
}

// ---- Text ----

const unprintable = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

// visible returns the text with control characters, and those that change the
// direction of other text, as escapes.
export function visible(text) {
  return String(text).replace(unprintable, c => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
}

// visibleLines is visible for text of several lines.
export function visibleLines(text) {
  return String(text).replace(unprintable, c => c === '\n' || c === '\t' ? c : visible(c));
}

// bytes returns a number of bytes for people: 1.2 MB.
export function bytes(n) {
  if (!Number.isFinite(n) || n < 0) return '?';
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let i = 0;
  while (n >= 999.5 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return `${i && n < 9.95 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

// took returns a duration in milliseconds for people.
export function took(ms) {
  if (!Number.isFinite(ms) || ms < 0) return '?';
  if (ms < 0.9995) return `${Math.round(ms * 1000)} µs`;
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59950) return `${(ms / 1000).toFixed(ms < 9950 ? 2 : 1)} s`;
  const s = Math.round(ms / 1000);
  return `${Math.floor(s / 60)} min ${s % 60} s`;
}

// short returns a digest with twelve of its digits.
export function short(digest) {
  return String(digest).replace(/\b([a-z0-9+._-]+[:-][0-9a-f]{12})[0-9a-f]{20,}/g, '$1…');
}

// plural returns "1 tag", "2 tags".
export function plural(n, word) {
  return `${n.toLocaleString('en')} ${word}${n === 1 ? '' : 's'}`;
}

// ---- Requests ----

// mediaTypes are those of manifests, for Accept.
export const manifestTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];

// target returns the thing that a request is about, for people.
export function target(r) {
  if (!r.repo) return visible(pathOf(r.url));
  let text = r.repo;
  if (r.tag) text += ':' + r.tag;
  else if (r.digest) text += '@' + short(r.digest);
  if (r.session) text += ` (upload ${r.session.slice(0, 8)})`;
  if (r.from) text += ` from ${r.from}`;
  if (r.range) text += ` ${r.range}`;
  if (['list-tags', 'list-referrers'].includes(r.op)) text += queryOf(r.url);
  return visible(text);
}

function pathOf(url) {
  const i = url.indexOf('/', url.indexOf('//') + 2);
  return i < 0 ? url : url.slice(i);
}

function queryOf(url) {
  const i = url.indexOf('?');
  return i < 0 ? '' : url.slice(i);
}

// failed reports whether the response was an error or was not sent in full.
export function failed(r) {
  return !r.ongoing && (r.status === 0 || r.status >= 400 || r.err !== '' || r.gone);
}

// quirks returns the quirks in the notes of a request, with their sources.
export function quirks(r) {
  return r.notes.filter(n => n.startsWith('quirk=')).map(n => {
    const m = /^quirk=(\S+)(?: \((.*)\))?$/s.exec(n);
    return m ? { name: m[1], source: m[2] ?? '' } : { name: n.slice(6), source: '' };
  });
}

// words splits text at spaces, and not those in double quotes.
function words(text) {
  return text.match(/(?:"[^"]*"?|[^\s"])+/g) ?? [];
}

// glob returns a regular expression for a pattern: * is any characters but /, **
// any characters, ? one.
function glob(pattern) {
  const source = pattern.replace(/\*\*|[*?]|[^*?]/gs, p =>
    p === '**' ? '.*' : p === '*' ? '[^/]*' : p === '?' ? '[^/]' : p.replace(/[\\^$.|+()[\]{}]/g, '\\$&'));
  return new RegExp(`^${source}$`, 'is');
}

// compare returns a function that compares a number as ">100ms" says, or null.
function compare(text, units) {
  const m = /^(>=|<=|>|<|)\s*([0-9.]+)\s*([a-zµ]*)$/i.exec(text);
  const unit = m && units[m[3].toLowerCase()];
  if (!unit) return null;
  const n = Number(m[2]) * unit;
  if (Number.isNaN(n)) return null;
  return { '>': v => v > n, '': v => v >= n, '>=': v => v >= n, '<': v => v < n, '<=': v => v <= n }[m[1]];
}

const durations = { '': 1, 'µs': 0.001, 'us': 0.001, 'ms': 1, 's': 1000 };
const sizes = { '': 1, 'b': 1, 'kb': 1e3, 'mb': 1e6, 'gb': 1e9, 'kib': 1024, 'mib': 2 ** 20 };

const kinds = {
  failed,
  fault: r => r.fault !== '',
  quirk: r => r.notes.some(n => n.startsWith('quirk=')),
  finding: r => r.findings.length > 0,
  gone: r => r.gone,
  ongoing: r => r.ongoing,
};

// term returns the function for one word of a filter.
function term(word) {
  const colon = word.indexOf(':');
  const key = word.slice(0, colon).toLowerCase();
  const value = word.slice(colon + 1).replaceAll('"', '');
  const matches = get => {
    const pattern = glob(value);
    return r => pattern.test(get(r));
  };
  switch (colon > 0 ? key : '') {
    case 'is':
      if (kinds[value]) return kinds[value];
      break;
    case 'op': return matches(r => r.op);
    case 'repo': return matches(r => r.repo);
    case 'tag': return matches(r => r.tag);
    case 'digest': return matches(r => r.digest);
    case 'user': return matches(r => r.user);
    case 'method': return matches(r => r.method);
    case 'conn': return r => String(r.conn) === value;
    case 'status': {
      if (value === 'cut') return r => !r.ongoing && (r.status === 0 || r.err !== '');
      if (/^[1-5]xx$/i.test(value)) return r => Math.floor(r.status / 100) === Number(value[0]);
      const test = /^\d+$/.test(value) ? v => v === Number(value) : compare(value, { '': 1 });
      if (test) return r => r.status > 0 && test(r.status);
      break;
    }
    case 'took': {
      const test = compare(value, durations);
      if (test) return r => !r.ongoing && test(r.took);
      break;
    }
    case 'size': {
      const test = compare(value, sizes);
      if (test) return r => test(Math.max(r.in, r.out));
      break;
    }
  }
  const text = word.replaceAll('"', '').toLowerCase();
  return r => haystack(r).includes(text);
}

// haystack returns the text of a request that words of a filter are looked for in.
function haystack(r) {
  return r.text ??= [r.method, r.url, r.op, r.repo, r.tag, r.digest, r.status || '', r.user, r.fault, ...r.notes, r.err,
    ...r.errors.map(e => e.code), ...r.findings.map(f => f.rule)].join(' ').toLowerCase();
}

// filter returns the function that tells whether a request has all words of the
// text. A word that begins with a minus excludes. A word with a field that does
// not exist is text: sha256:1234.
export function filter(text) {
  const tests = words(text).map(word => {
    if (!/^-./s.test(word)) return term(word);
    const test = term(word.slice(1));
    return r => !test(r);
  });
  return r => tests.every(test => test(r));
}

// ---- Copy as ----

// shell quotes a word for a POSIX shell.
export function shell(word) {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

const setByCurl = new Set(['host', 'content-length', 'connection', 'transfer-encoding', 'expect']);

// curl returns the command that repeats a request. Credentials, which the journal
// does not have, are variables.
export function curl(r) {
  const args = ['curl', '--include', '--globoff', '--path-as-is'];
  const body = r.in > 0 || r.length > 0;
  if (r.method === 'HEAD') args.push('--head');
  else if (r.method !== 'GET' || body) args.push('--request', shell(r.method));
  for (const [name, value] of r.requestHeaders) {
    if (setByCurl.has(name.toLowerCase())) continue;
    if (/^(Basic|Bearer) redacted$/.test(value)) args.push('--header', `"${name}: ${value.split(' ')[0]} $CREDENTIALS"`);
    else args.push('--header', shell(value === '' ? `${name};` : `${name}: ${value}`));
  }
  const text = r.requestBody && r.requestBody.length === r.in ? utf8(r.requestBody) : null;
  if (body) args.push(...text !== null && !text.includes('\0') ? ['--data-raw', shell(text)] : ['--data-binary', '@body']);
  args.push(shell(r.url));
  return args.join(' ');
}

// word returns a word of a rule with a value that is not a pattern.
function ruleWord(name, value) {
  value = value.replace(/[\\,]/g, '\\$&');
  return `${name}=${/[\s"]/.test(value) || value === '' ? JSON.stringify(value) : value}`;
}

// rules returns the rules in the name of a fault, which has semicolons between
// them.
export function rules(fault) {
  return fault.match(/(?:"(?:\\.|[^"\\])*"|[^";]|;(?! )|"(?=[^"]*$))+/g)?.map(text => text.trim()).filter(Boolean) ?? [];
}

// hasRule reports whether a rule hit the request. A fault that is none has no name.
const hasRule = r => r.fault !== '' && r.fault !== 'fault';

// rule returns the text of a rule that hits the next request of this kind, or the
// rule that hit this one.
export function rule(r) {
  if (hasRule(r)) return rules(r.fault)[0];
  const text = [r.op];
  if (r.repo) text.push(ruleWord('repo', r.repo));
  if (r.tag) text.push(ruleWord('tag', r.tag));
  else if (r.digest) text.push(ruleWord('digest', r.digest));
  return [...text, 'once', `status=${r.status >= 400 ? r.status : 503}`].join(' ');
}

// goFault returns the rule as a line of a Go test.
export function goFault(r) {
  if (hasRule(r)) return `rule, err := fault.Parse(${JSON.stringify(rule(r))})`;
  let text = `reg.Fault(t, fault.On(registry.${ops[r.op]?.[0] ?? 'UnknownOp'})`;
  if (r.repo) text += `.Repo(${JSON.stringify(r.repo)})`;
  if (r.tag) text += `.Tag(${JSON.stringify(r.tag)})`;
  else if (r.digest) text += `.Digest(${JSON.stringify(r.digest)})`;
  return `${text}.Once().Status(${r.status >= 400 ? r.status : 503}))`;
}

// goQuery returns the line of a Go test that finds such requests in the journal.
export function goQuery(r) {
  let text = `reg.Requests().Op(registry.${ops[r.op]?.[0] ?? 'UnknownOp'})`;
  if (r.repo) text += `.Repo(${JSON.stringify(r.repo)})`;
  if (r.tag) text += `.Tag(${JSON.stringify(r.tag)})`;
  else if (r.digest) text += `.Digest(${JSON.stringify(r.digest)})`;
  if (r.status) text += `.Status(${r.status})`;
  return text;
}

// ---- Bodies ----

// utf8 returns the text of some bytes, or null if they are none.
export function utf8(data) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    return null;
  }
}

const secret = /authoriz|-auth|token|secret|passw|signature|credential|api[-_]?key/i;

// redact returns JSON text, indented, or a form, without the values of fields
// that have secrets.
export function redact(text) {
  try {
    const value = JSON.parse(text, (key, v) => typeof v === 'string' && secret.test(key) ? 'redacted' : v);
    if (typeof value === 'object') return JSON.stringify(value, null, 2);
  } catch { /* not JSON */ }
  return text.replace(/(^|[&?])([^=&\s]+)=([^&\s]+)/g, (all, before, key) => secret.test(key) ? `${before}${key}=redacted` : all);
}

// hex returns the first bytes of data as a dump.
export function hex(data, limit = 512) {
  const lines = [];
  for (let i = 0; i < Math.min(data.length, limit); i += 16) {
    const part = [...data.subarray(i, Math.min(i + 16, limit))];
    lines.push([i.toString(16).padStart(6, '0'), part.map(b => b.toString(16).padStart(2, '0')).join(' ').padEnd(47),
      part.map(b => b > 31 && b < 127 ? String.fromCharCode(b) : '.').join('')].join('  '));
  }
  return lines.join('\n');
}

// ---- Streams ----

// chunks returns the parts of a stream. Reading ends with it.
async function* chunks(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

// lines returns the lines of a stream of text.
export async function* lines(stream, limit = 64 << 20) {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks(stream)) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = parts.pop();
    if (rest.length > limit) throw new Error('a line is too long');
    for (const part of parts) yield part.endsWith('\r') ? part.slice(0, -1) : part;
  }
  if (rest) yield rest;
}

// events returns the server-sent events of a stream, each with event, data and id.
export async function* events(stream) {
  let event = { event: 'message', data: [], id: '' };
  for await (const line of lines(stream)) {
    if (line === '') {
      if (event.data.length) yield { ...event, data: event.data.join('\n') };
      event = { event: 'message', data: [], id: event.id };
      continue;
    }
    const m = /^([^:]+)(?:: ?(.*))?$/s.exec(line);
    if (!m) continue; // a comment
    const value = m[2] ?? '';
    if (m[1] === 'data') event.data.push(value);
    else if (m[1] === 'event') event.event = value;
    else if (m[1] === 'id') event.id = value;
  }
}

// A Bytes reads a stream by numbers of bytes, up to a limit.
class Bytes {
  constructor(stream, limit) {
    this.chunks = chunks(stream);
    this.rest = new Uint8Array(0);
    this.left = limit;
  }

  async more() {
    const { done, value } = await this.chunks.next();
    if (done) return false;
    this.left -= value.length;
    if (this.left < 0) throw new Error('it is larger than this page reads');
    this.rest = value;
    return true;
  }

  // read returns n bytes, or null at the end of the stream.
  async read(n) {
    const out = new Uint8Array(n);
    let have = 0;
    while (have < n) {
      if (!this.rest.length && !await this.more()) {
        if (!have) return null;
        throw new Error('it ends in the middle of an entry');
      }
      const part = this.rest.subarray(0, n - have);
      out.set(part, have);
      have += part.length;
      this.rest = this.rest.subarray(part.length);
    }
    return out;
  }

  async skip(n) {
    while (n > 0) {
      if (!this.rest.length && !await this.more()) throw new Error('it ends in the middle of an entry');
      const part = Math.min(n, this.rest.length);
      this.rest = this.rest.subarray(part);
      n -= part;
    }
  }

  end() {
    return this.chunks.return();
  }
}

// ---- Tar ----

const latin = data => {
  const end = data.indexOf(0);
  const text = end < 0 ? data : data.subarray(0, end);
  return utf8(text) ?? String.fromCharCode(...text);
};

// number returns a number of a header: in octal, or in base 256 if it is large.
function number(data) {
  if (data[0] & 0x80) {
    let n = data[0] & 0x7f;
    for (const b of data.subarray(1)) n = n * 256 + b;
    if (!Number.isSafeInteger(n)) throw new Error('an entry has a size that is no size');
    return n;
  }
  const text = latin(data).trim();
  if (!/^[0-7]*$/.test(text)) throw new Error('it is no tar file');
  return text === '' ? 0 : parseInt(text, 8);
}

function checksum(block) {
  let sum = 8 * 32;
  for (let i = 0; i < 512; i++) if (i < 148 || i >= 156) sum += block[i];
  return sum;
}

// pax returns the records of an extended header.
export function pax(data) {
  const records = {};
  for (let at = 0; at < data.length;) {
    const space = data.indexOf(32, at);
    const length = Number(latin(data.subarray(at, space)));
    if (space < 0 || !Number.isInteger(length) || length <= space - at || at + length > data.length) throw new Error('an extended header is broken');
    const [, key, value] = /^([^=]*)=(.*)$/s.exec(latin(data.subarray(space + 1, at + length - 1))) ?? [];
    if (key) records[key] = value;
    at += length;
  }
  return records;
}

const types = { '0': 'file', '\0': 'file', '7': 'file', '1': 'link', '2': 'symlink', '3': 'device', '4': 'device', '5': 'dir', '6': 'fifo' };

// tar returns the entries of a tar file: name, size, mode, type, link. It reads up
// to limits.bytes bytes and limits.entries entries, and fails beyond.
export async function* tar(stream, limits = {}) {
  const { bytes: most = 1 << 30, entries = 50000, header = 1 << 20 } = limits;
  const input = new Bytes(stream, most);
  let extra = {};
  let count = 0;
  try {
    for (;;) {
      const block = await input.read(512);
      if (!block || block.every(b => b === 0)) return;
      if (number(block.subarray(148, 156)) !== checksum(block)) throw new Error('it is no tar file');
      const type = String.fromCharCode(block[156]);
      let size = number(block.subarray(124, 136));
      const padded = n => Math.ceil(n / 512) * 512;
      if ('xgLK'.includes(type)) {
        if (size > header) throw new Error('an extended header is too large');
        const data = (await input.read(padded(size)) ?? new Uint8Array(0)).subarray(0, size);
        if (type === 'x') extra = { ...extra, ...pax(data) };
        if (type === 'L') extra.path = latin(data);
        if (type === 'K') extra.linkpath = latin(data);
        if (++count > entries) throw new Error(`it has more than ${plural(entries, 'entry').replace('entrys', 'entries')}`);
        continue;
      }
      if (extra.size !== undefined) size = Number(extra.size);
      if (!Number.isSafeInteger(size) || size < 0) throw new Error('an entry has a size that is no size');
      const prefix = latin(block.subarray(257, 262)) === 'ustar' ? latin(block.subarray(345, 500)) : '';
      const name = latin(block.subarray(0, 100));
      if (++count > entries) throw new Error(`it has more than ${entries.toLocaleString('en')} entries`);
      yield {
        name: extra.path ?? (prefix ? `${prefix}/${name}` : name),
        size: types[type] === 'file' ? size : 0,
        mode: number(block.subarray(100, 108)),
        owner: `${extra.uid ?? number(block.subarray(108, 116))}:${extra.gid ?? number(block.subarray(116, 124))}`,
        type: types[type] ?? 'other',
        link: extra.linkpath ?? latin(block.subarray(157, 257)),
      };
      extra = {};
      await input.skip(padded(['1', '2', '3', '4', '5', '6'].includes(type) ? 0 : size));
    }
  } finally {
    await input.end();
  }
}

// mode returns the mode of an entry as ls does.
export function mode(entry) {
  const first = { dir: 'd', symlink: 'l', link: 'h', device: 'c', fifo: 'p' }[entry.type] ?? '-';
  let text = '';
  for (let i = 8; i >= 0; i--) text += entry.mode >> i & 1 ? 'rwx'[(8 - i) % 3] : '-';
  const set = (at, on, x, no) => {
    if (on) text = text.slice(0, at) + (text[at] === 'x' ? x : no) + text.slice(at + 1);
  };
  set(2, entry.mode & 0o4000, 's', 'S');
  set(5, entry.mode & 0o2000, 's', 'S');
  set(8, entry.mode & 0o1000, 't', 'T');
  return first + text;
}

// compression returns the format of a blob by its first bytes: "gzip", "zstd" or "".
export function compression(data) {
  if (data[0] === 0x1f && data[1] === 0x8b) return 'gzip';
  if (data[0] === 0x28 && data[1] === 0xb5 && data[2] === 0x2f && data[3] === 0xfd) return 'zstd';
  return '';
}

// ---- The control API ----

// An APIError is a response with a status of 400 or more.
class APIError extends Error {
  constructor(status, body) {
    super(body?.error ?? body?.errors?.[0]?.message ?? `the response has status ${status}`);
    this.status = status;
    this.body = body ?? {};
  }
}

// An API sends requests with the token.
class API {
  constructor(token) {
    this.token = token;
    this.base = new URL('v1/', location.href.split('#')[0]);
  }

  async fetch(path, { method = 'GET', headers = {}, body, signal } = {}) {
    const res = await fetch(new URL(path, this.base), {
      method, body, signal, cache: 'no-store', credentials: 'omit', redirect: 'error',
      headers: { Authorization: `Bearer ${this.token}`, ...headers },
    });
    if (res.ok) return res;
    const text = await res.text();
    let parsed;
    try {
      parsed = JSON.parse(text);
    } catch {
      parsed = { error: text.trim().slice(0, 500) || undefined };
    }
    const error = new APIError(res.status, parsed);
    if (res.status === 401) onUnauthorized(error);
    throw error;
  }

  async json(path, options) {
    const res = await this.fetch(path, options);
    const text = await res.text();
    return text ? JSON.parse(text) : null;
  }
}

let onUnauthorized = () => {};

// bodyData returns the bytes of a body, or null if the record has none.
function bodyData(body) {
  if (!body) return null;
  return body.base64 ? Uint8Array.from(atob(body.base64), c => c.charCodeAt(0)) : new TextEncoder().encode(body.text ?? '');
}

// entry returns a record of the API in the form that the page uses.
export function entry(json) {
  const headers = h => Object.entries(h ?? {}).flatMap(([name, values]) => [values].flat().map(v => [name, String(v)]));
  const text = v => v == null ? '' : String(v);
  const start = Date.parse(json.start ?? '') || 0;
  return {
    number: json.number,
    op: text(json.op) || 'unknown',
    repo: text(json.repo), tag: text(json.tag), digest: text(json.digest), from: text(json.from), session: text(json.upload),
    method: text(json.method), url: text(json.url), proto: text(json.proto), conn: json.conn ?? 0,
    user: text(json.user), scope: text(json.scope), range: text(json.range), length: json.contentLength ?? -1,
    requestHeaders: headers(json.requestHeader), responseHeaders: headers(json.responseHeader),
    requestBody: bodyData(json.requestBody), responseBody: bodyData(json.responseBody),
    in: json.bytesIn ?? 0, out: json.bytesOut ?? 0, status: json.status ?? 0,
    errors: (json.errors ?? []).map(e => ({ code: text(e.code), message: text(e.message) })),
    err: text(json.err), fault: text(json.fault), notes: (json.notes ?? []).map(text),
    gone: !!json.gone, ongoing: !!json.ongoing, start, took: json.durationMs ?? 0,
    mediaType: text(json.mediaType), subject: text(json.subject),
    findings: [],
  };
}

// A Log keeps the requests, in order, and those that a filter selects.
export class Log {
  constructor(limit = 50000) {
    this.limit = limit;
    this.reset();
    this.select('');
  }

  reset() {
    this.entries = [];
    this.shown = [];
    this.byNumber = new Map();
    this.found = new Map(); // findings by the number of the request
    this.dropped = 0;
    this.burst = null;
    this.stale = false;
  }

  // select sets the filter.
  select(text) {
    this.text = text;
    this.test = filter(text);
    this.stale = true;
  }

  // add adds requests, or replaces those with the same number.
  add(entries) {
    for (const e of entries) {
      const old = this.byNumber.get(e.number);
      e.findings = this.found.get(e.number) ?? [];
      if (old) {
        const { burst } = old;
        Object.assign(old, e, { burst, text: undefined });
        this.extend(old);
        this.stale ||= this.text !== '';
        continue;
      }
      this.byNumber.set(e.number, e);
      const last = this.entries.at(-1);
      if (last && last.number > e.number) {
        this.entries.push(e);
        this.entries.sort((a, b) => a.number - b.number);
        this.stale = true;
      } else {
        this.entries.push(e);
        if (!this.stale && this.test(e)) this.shown.push(e);
      }
      this.place(e);
    }
    if (this.entries.length > this.limit) {
      const gone = this.entries.splice(0, this.entries.length - Math.floor(this.limit * 0.9));
      for (const e of gone) this.byNumber.delete(e.number);
      this.dropped += gone.length;
      this.stale = true;
    }
  }

  // place puts a request into a burst: requests with less than a second of silence
  // between them. The waterfall has the scale of a burst.
  place(e) {
    let b = this.burst;
    if (!b || e.start > b.end + 1000) b = this.burst = { start: e.start, end: e.start, after: b ? e.start - b.end : 0, first: e.number };
    e.burst = b;
    this.extend(e);
  }

  extend(e) {
    if (!e.ongoing) e.burst.end = Math.max(e.burst.end, e.start + e.took);
  }

  // find sets the findings.
  find(findings) {
    const found = new Map();
    for (const f of findings) found.set(f.number, [...found.get(f.number) ?? [], f]);
    for (const n of new Set([...this.found.keys(), ...found.keys()])) {
      const e = this.byNumber.get(n);
      if (e) {
        e.findings = found.get(n) ?? [];
        e.text = undefined;
      }
    }
    this.found = found;
    this.stale = true;
  }

  // refresh applies the filter, if something changed.
  refresh() {
    if (this.stale) this.shown = this.text === '' ? this.entries.slice() : this.entries.filter(this.test);
    this.stale = false;
  }

  counts() {
    const n = { failed: 0, fault: 0, quirk: 0, finding: 0 };
    for (const e of this.entries) for (const kind in n) if (kinds[kind](e)) n[kind]++;
    return n;
  }
}

// ---- Document ----

const $ = id => document.getElementById(id);

// h returns a new element. Strings among the children become text. The properties
// are those of the element; aria-… and data-… are attributes.
function h(name, props = {}, ...children) {
  const [tag, ...classes] = name.split('.');
  const el = document.createElement(tag || 'div');
  if (classes.length) el.className = classes.join(' ');
  for (const [key, value] of Object.entries(props)) {
    if (key === 'on') for (const [type, f] of Object.entries(value)) el.addEventListener(type, f);
    else if (/^(aria|data)-|^role$/.test(key)) el.setAttribute(key, value);
    else el[key] = value;
  }
  el.append(...children.flat(Infinity).filter(c => c !== null && c !== undefined && c !== '' && c !== false));
  return el;
}

// link returns a link to another site if the URL is one, and text otherwise.
function link(url, text = url) {
  if (!/^https:\/\/[^\s]+$/.test(url)) return visible(text);
  return h('a', { href: url, target: '_blank', rel: 'noreferrer noopener' }, visible(text));
}

let toasted;
function toast(text) {
  $('toast').textContent = text;
  $('toast').hidden = false;
  clearTimeout(toasted);
  toasted = setTimeout(() => $('toast').hidden = true, 2500);
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h('textarea', { value: text, className: 'hidden' });
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  toast(`Copied ${what}`);
}

function copyButton(label, text, what = label) {
  return h('button', { type: 'button', title: visibleLines(text), on: { click: () => copy(text, what) } }, label);
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  h('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

// busy runs a function on behalf of a button or another element.
async function busy(el, f) {
  el.setAttribute('aria-busy', 'true');
  if ('disabled' in el) el.disabled = true;
  try {
    return await f();
  } catch (err) {
    toast(err.message);
  } finally {
    el.removeAttribute('aria-busy');
    if ('disabled' in el) el.disabled = false;
  }
}

// fill puts the nodes that a function returns into an element, or its error.
async function fill(el, f) {
  el.setAttribute('aria-busy', 'true');
  el.replaceChildren(h('p.muted', {}, 'Loading…'));
  try {
    el.replaceChildren(...[await f()].flat(Infinity).filter(Boolean));
  } catch (err) {
    el.replaceChildren(h('p.error', {}, visible(err.message), ' ',
      h('button', { type: 'button', on: { click: () => fill(el, f) } }, 'Try again')));
  }
  el.removeAttribute('aria-busy');
}

// some returns the nodes of the first items, and a button that adds more.
function some(items, node, step = 200) {
  const take = from => {
    const nodes = items.slice(from, from + step).map((item, i) => node(item, from + i));
    const left = items.length - from - step;
    if (left > 0) {
      const more = h('button.more', { type: 'button', on: { click: () => more.replaceWith(...take(from + step)) } }, `Show ${Math.min(step, left)} more of ${plural(left, 'other')}`);
      nodes.push(more);
    }
    return nodes;
  };
  return take(0);
}

// facts returns a list of names and values. Values are text or nodes.
function facts(pairs) {
  const rows = pairs.filter(([, v]) => v !== '' && v !== null && v !== undefined && v !== false);
  // Long names, as those of annotations, stand above their values if there is little room.
  return rows.length ? h(rows.some(([name]) => name.length > 18) ? 'dl.facts.long' : 'dl.facts', {}, rows.map(([name, v]) => [h('dt', {}, visible(name)), h('dd', {}, typeof v === 'string' ? visible(v) : v)])) : null;
}

// put sets the text of an element, unless it has this text: changing it would have
// the browser lay it out again.
function put(el, text) {
  if (el.last === text) return;
  el.last = text;
  el.textContent = text;
}

// A List shows many rows of the same height, of which only those in view exist.
class List {
  constructor(scroller, rows, make, update) {
    Object.assign(this, { scroller, rows, make, update, count: 0, live: new Map(), spare: [], height: 0, queued: false });
    scroller.addEventListener('scroll', () => this.queue(), { passive: true });
    new ResizeObserver(() => this.measure()).observe(scroller);
    this.measure();
  }

  measure() {
    const height = parseFloat(getComputedStyle(this.rows).getPropertyValue('--row')) || 28;
    if (height !== this.height) {
      const at = this.height ? this.scroller.scrollTop / this.height : 0;
      this.height = height;
      for (const row of this.live.values()) this.spare.push(row); // They are where the old height has put them.
      this.live.clear();
      this.size(this.count);
      this.scroller.scrollTop = at * height;
    }
    this.draw();
  }

  size(count) {
    this.count = count;
    this.rows.style.height = `${count * this.height}px`;
  }

  queue() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      this.draw(false);
    });
  }

  // draw makes the rows in view, and updates also those that were there, or only
  // the new ones.
  draw(all = true) {
    const top = this.scroller.scrollTop;
    const first = Math.max(0, Math.floor(top / this.height) - 4);
    const last = Math.min(this.count - 1, Math.ceil((top + this.scroller.clientHeight) / this.height) + 4);
    for (const [i, row] of this.live) {
      if (i < first || i > last) {
        this.live.delete(i);
        this.spare.push(row);
      }
    }
    for (let i = first; i <= last; i++) {
      let row = this.live.get(i);
      if (!row) {
        row = this.spare.pop();
        if (!row) this.rows.append(row = this.make());
        if (row.hidden) row.hidden = false;
        row.style.transform = `translateY(${i * this.height}px)`;
        this.live.set(i, row);
        this.update(row, i);
      } else if (all) this.update(row, i);
    }
    for (const row of this.spare) if (!row.hidden) row.hidden = true;
  }

  // reveal scrolls a row into view.
  reveal(i, below = 0) {
    const top = i * this.height;
    const room = this.scroller.clientHeight - below;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top + this.height > this.scroller.scrollTop + room) this.scroller.scrollTop = top + this.height - room;
  }

  atEnd() {
    return this.scroller.scrollTop + this.scroller.clientHeight >= this.scroller.scrollHeight - this.height;
  }
}

// ---- The requests ----

class Requests {
  constructor(app) {
    this.app = app;
    this.log = new Log();
    this.pending = [];
    this.selected = null; // a number
    this.since = 0; // the number of the last request before a new beginning
    this.counted = 0;
    this.list = new List($('grid'), $('rows'), () => this.makeRow(), (row, i) => this.updateRow(row, this.log.shown[i], i));

    $('filter').addEventListener('input', () => this.applyFilter());
    $('requests-bar').addEventListener('submit', e => {
      e.preventDefault();
      $('grid').focus();
    });
    for (const button of document.querySelectorAll('.toggle')) {
      button.addEventListener('click', () => {
        const word = `is:${button.dataset.is}`;
        const rest = words($('filter').value).filter(w => w !== word);
        if (button.getAttribute('aria-pressed') !== 'true') rest.push(word);
        $('filter').value = rest.join(' ');
        this.applyFilter();
      });
    }
    $('tail').addEventListener('change', () => this.draw());
    $('grid').addEventListener('keydown', e => this.key(e));
    $('grid').addEventListener('scroll', () => {
      // A reader who scrolls away from the end wants to stay there.
      if (this.drawing) return;
      if (!this.list.atEnd()) $('tail').checked = false;
    }, { passive: true });
    $('rows').addEventListener('click', e => {
      const row = e.target.closest('.row');
      if (row) this.select(Number(row.dataset.number), true);
    });
    $('clear').addEventListener('click', e => busy(e.currentTarget, async () => {
      const { since } = await this.app.api.json('requests', { method: 'DELETE' });
      this.reset();
      this.since = since;
    }));
    $('har').addEventListener('click', e => busy(e.currentTarget, async () => {
      const res = await this.app.api.fetch('requests', { headers: { Accept: 'application/har+json' } });
      save(await res.blob(), 'requests.har');
    }));
  }

  // reset forgets the requests. The one that is open stays so if keep is true.
  reset(keep = false) {
    this.since = 0;
    this.log.reset();
    this.log.select($('filter').value.trim());
    this.pending = [];
    if (!keep) this.close();
    this.draw();
  }

  applyFilter() {
    this.log.select($('filter').value.trim());
    const now = words($('filter').value);
    for (const b of document.querySelectorAll('.toggle')) b.setAttribute('aria-pressed', now.includes(`is:${b.dataset.is}`));
    this.draw();
  }

  // add shows requests in the next frame.
  add(entries) {
    this.pending.push(...entries);
    if (this.queued) return;
    this.queued = true;
    const flush = () => {
      this.queued = false;
      const batch = this.pending.splice(0);
      this.log.add(batch);
      this.draw();
      this.update(batch.map(e => e.number));
    };
    // A page in the background has no frames.
    if (document.hidden) setTimeout(flush, 200);
    else requestAnimationFrame(flush);
  }

  draw() {
    const { log, list } = this;
    log.refresh();
    const { shown } = log;
    if (list.count !== shown.length) list.size(shown.length);
    this.drawing = true;
    if ($('tail').checked) list.scroller.scrollTop = list.scroller.scrollHeight;
    list.draw();
    requestAnimationFrame(() => requestAnimationFrame(() => this.drawing = false));
    $('grid').setAttribute('aria-rowcount', shown.length + 1);

    const all = log.entries.length;
    $('count-requests').textContent = all ? all.toLocaleString('en') : '';
    const empty = $('requests-empty');
    empty.hidden = shown.length > 0;
    empty.replaceChildren(...(all
      ? [h('p', {}, `None of ${plural(all, 'request')} matches the filter.`), h('button', { type: 'button', on: { click: () => { $('filter').value = ''; this.applyFilter(); } } }, 'Show all')]
      : [h('p', {}, 'No requests yet.'), this.app.url ? h('p.muted', {}, 'Point a client at ', h('code', {}, visible(this.app.url))) : '']));
    const foot = [];
    if (log.text && all) foot.push(`${shown.length.toLocaleString('en')} of ${plural(all, 'request')}`);
    else if (all) foot.push(plural(all, 'request'));
    if (log.dropped) foot.push(`${log.dropped.toLocaleString('en')} older ones are not shown`);
    let out = 0, inn = 0;
    for (const e of shown) {
      out += e.out;
      inn += e.in;
    }
    if (out) foot.push(`↓ ${bytes(out)}`);
    if (inn) foot.push(`↑ ${bytes(inn)}`);
    $('requests-foot').textContent = foot.join(' · ');

    // Counting all requests in every frame would cost more than drawing some.
    clearTimeout(this.counting);
    const count = () => {
      this.counted = performance.now();
      const counts = log.counts();
      for (const b of document.querySelectorAll('.toggle')) b.querySelector('b').textContent = counts[b.dataset.is] ? counts[b.dataset.is].toLocaleString('en') : '';
    };
    if (performance.now() - this.counted > 300) count();
    else this.counting = setTimeout(count, 300);
  }

  makeRow() {
    const cell = name => h(`span.${name}`, { role: 'gridcell' });
    const row = h('div.row', { role: 'row' }, ['c-n', 'c-status', 'c-op', 'c-target', 'c-marks', 'c-bytes', 'c-took'].map(cell),
      h('span.c-fall', { role: 'gridcell' }, h('i.bar')));
    row.cells = [...row.children];
    row.bar = row.querySelector('.bar');
    return row;
  }

  updateRow(row, e, i) {
    if (!e) return;
    const [n, status, op, what, marks, size, time, fall] = row.cells;
    row.id = `row-${e.number}`;
    row.dataset.number = e.number;
    row.setAttribute('aria-rowindex', i + 2);
    row.setAttribute('aria-selected', e.number === this.selected);
    row.dataset.class = classOf(e);
    put(n, String(e.number));
    put(status, statusText(e));
    put(op, e.op === 'unknown' ? visible(e.method) : e.op);
    const about = target(e);
    if (what.last !== about) {
      put(what, about);
      what.title = about;
    }
    const wanted = marksOf(e);
    const key = wanted.map(m => m.join()).join();
    if (marks.dataset.key !== key) {
      marks.dataset.key = key;
      marks.replaceChildren(...wanted.map(([kind, title]) => h(`span.mark.${kind}`, { title: visible(title) }, kind)));
    }
    put(size, e.out || e.in ? [e.in ? `↑ ${bytes(e.in)}` : '', e.out ? `↓ ${bytes(e.out)}` : ''].filter(Boolean).join(' ') : '');
    put(time, e.ongoing ? '…' : took(e.took));
    const before = this.log.shown[i - 1];
    const gap = e.burst.after && before && before.burst !== e.burst;
    row.classList.toggle('gap', !!gap);
    fall.dataset.gap = gap ? `after ${took(e.burst.after)}` : '';
    const span = Math.max(e.burst.end - e.burst.start, 1);
    const from = Math.min((e.start - e.burst.start) / span, 1);
    const length = e.ongoing ? 1 - from : Math.min(e.took / span, 1 - from);
    const height = 3 + Math.min(9, Math.max(0, Math.log10(Math.max(e.in, e.out, 1)) - 1) * 1.5);
    const geometry = `${(from * 100).toFixed(2)} ${(length * 100).toFixed(2)} ${height}`;
    if (row.geometry !== geometry) {
      row.geometry = geometry;
      const { style } = row.bar;
      style.left = `min(${(from * 100).toFixed(2)}%, 100% - 3px)`;
      style.width = `max(${(length * 100).toFixed(2)}%, 3px)`;
      style.height = `${height}px`;
    }
    row.bar.className = `bar ${e.in > e.out ? 'up' : 'down'}${e.ongoing ? ' ongoing' : ''}`;
  }

  key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const { shown } = this.log;
    const at = shown.findIndex(x => x.number === this.selected);
    const page = Math.max(1, Math.floor($('grid').clientHeight / this.list.height) - 2);
    const to = {
      ArrowDown: at + 1, j: at + 1, ArrowUp: at < 0 ? shown.length - 1 : at - 1, k: at < 0 ? shown.length - 1 : at - 1,
      PageDown: at + page, PageUp: at - page, Home: 0, End: shown.length - 1,
    }[e.key];
    if (to !== undefined && shown.length) {
      e.preventDefault();
      const i = Math.max(0, Math.min(shown.length - 1, to));
      $('tail').checked = e.key === 'End';
      this.select(shown[i].number, !$('detail').hidden);
    } else if (e.key === 'Enter' && at >= 0) {
      e.preventDefault();
      this.select(this.selected, true);
      $('detail').focus();
    }
  }

  select(number, open) {
    this.selected = number;
    const i = this.log.shown.findIndex(x => x.number === number);
    if (i < 0) return;
    $('grid').setAttribute('aria-activedescendant', `row-${number}`);
    if (open) this.show(this.log.shown[i]);
    this.list.reveal(i, $('rows').offsetTop);
    this.list.draw();
  }

  // readBodies adds the bodies, which the stream of requests does not have.
  async readBodies(e) {
    e.asked = true;
    try {
      const full = entry(await this.app.api.json(`requests?bodies&number=${e.number}`));
      Object.assign(e, { requestBody: full.requestBody, responseBody: full.responseBody });
      this.update([e.number]);
    } catch { /* Clear hides a request from the API, and not from this page. */ }
  }

  // update shows the open request again if it is among those that changed.
  update(numbers) {
    const e = this.log.byNumber.get(this.showing);
    if (e && !$('detail').hidden && numbers.includes(e.number)) this.show(e);
  }

  // find shows the findings.
  find(findings) {
    const before = this.log.found.get(this.showing)?.length;
    this.log.find(findings);
    this.draw();
    if (before !== this.log.found.get(this.showing)?.length) this.update([this.showing]);
  }

  close() {
    if ($('detail').hidden) return;
    $('detail').hidden = true;
    $('split').classList.remove('open');
    this.list.measure();
    $('grid').focus();
  }

  show(e) {
    const same = this.showing === e.number && !$('detail').hidden;
    const top = same ? $('detail').scrollTop : 0;
    this.showing = e.number;
    $('detail').replaceChildren(...detail(e, this.app));
    $('detail').hidden = false;
    $('detail').scrollTop = top;
    if ((e.in || e.out) && !e.ongoing && !e.asked) this.readBodies(e);
    if (!$('split').classList.contains('open')) {
      $('split').classList.add('open');
      this.list.measure();
    }
  }
}

// classOf returns the class of a response, for its colour.
function classOf(e) {
  if (e.ongoing) return 'ongoing';
  if (e.status === 0 || e.err || e.gone) return 'cut';
  return `s${Math.floor(e.status / 100)}`;
}

function statusText(e) {
  if (e.ongoing) return '…';
  return e.status === 0 ? 'cut' : String(e.status);
}

// marksOf returns the marks of a request, each with a title.
function marksOf(e) {
  const marks = [];
  if (e.fault) marks.push(['fault', e.fault]);
  for (const q of quirks(e)) marks.push(['quirk', q.name]);
  for (const f of e.findings) marks.push(['finding', `${f.rule}: ${f.text}`]);
  if (e.err && e.status) marks.push(['cut', e.err]);
  if (e.gone) marks.push(['gone', 'the client hung up before it had the whole response']);
  return marks;
}

// detail returns the nodes that describe a request.
function detail(e, app) {
  const section = specOf(e.op);
  const nodes = [h('header', {},
    h('h2', { tabIndex: -1 }, h('span.method', {}, visible(e.method)), ' ', h('span.path', {}, visible(pathOf(e.url)))),
    h('button.quiet', { type: 'button', title: 'Close (Esc)', 'aria-label': 'Close', on: { click: () => app.requests.close() } }, '✕'))];

  const callout = (kind, title, ...content) => nodes.push(h(`div.callout.${kind}`, {}, h('b', {}, title), ...content.map(c => h('p', {}, c))));
  for (const r of rules(e.fault)) callout('fault', 'Fault', h('code', {}, visible(r)));
  for (const q of quirks(e)) callout('quirk', `Quirk ${visible(q.name)}`, link(q.source));
  for (const f of e.findings) callout('finding', `Finding ${visible(f.rule)}`, visible(f.text), visible(f.requirement), h('span', {}, sources(f.source).map(s => [link(s.url, s.text), ' '])));
  for (const err of e.errors) callout('failed', visible(err.code || 'Error'), visible(err.message));
  if (e.err) callout('failed', e.status >= 500 ? 'The registry failed' : 'The connection was cut', visible(e.err));
  if (e.gone) callout('failed', 'The client hung up', 'before it had the whole response, as far as the server noticed.');
  for (const note of e.notes.filter(n => !n.startsWith('quirk='))) callout('note', 'Note', visible(note));

  const ref = e.digest || e.tag;
  nodes.push(facts([
    ['Status', h(`span.status.${classOf(e)}`, {}, e.ongoing ? 'no response yet' : e.status ? `${e.status} ${statusNames[e.status] ?? ''}` : 'no response')],
    ['Operation', h('span', {}, h('code', {}, e.op), section ? [' ', link(section.url, section.section)] : '')],
    ['Repository', e.repo && h('span', {}, visible(e.repo), ' ', /manifest|tag/.test(e.op) && ref
      ? h('button.link', { type: 'button', on: { click: () => app.openContent(e.repo, ref) } }, 'show the manifest') : '')],
    ['Tag', e.tag], ['Digest', e.digest], ['From', e.from], ['Upload', e.session], ['Range', e.range],
    ['Time', e.ongoing ? 'not finished' : `${took(e.took)}, from ${new Date(e.start).toLocaleTimeString('en-GB')}.${String(Math.floor(e.start % 1000)).padStart(3, '0')}`],
    ['Bytes', [e.in && `↑ ${e.in.toLocaleString('en')}`, e.out && `↓ ${e.out.toLocaleString('en')}`].filter(Boolean).join('  ') || 'none in the bodies'],
    ['User', e.user], ['Scope', e.scope], ['Connection', e.conn ? `${e.conn}, ${e.proto}` : e.proto],
    ['Media type', e.mediaType], ['Subject', e.subject],
  ]));
  nodes.push(h('div.copy', { role: 'group', 'aria-label': 'Copy as' }, h('span', {}, 'Copy as'),
    copyButton('curl', curl(e), 'the curl command'), copyButton('rule', rule(e), 'the rule'),
    copyButton('Go fault', goFault(e), 'the line of Go'), copyButton('Go query', goQuery(e), 'the line of Go'),
    h('button', { type: 'button', title: 'Write a rule for such requests (f)', on: { click: () => app.writeRule(e) } }, 'Write a rule…')));

  const part = (title, headers, body, size, type) => h('details.part', { open: true }, h('summary', {}, title),
    headers.length ? h('table.headers', {}, h('tbody', {}, headers.map(([k, v]) => h('tr', {}, h('th', { scope: 'row' }, visible(k)), h('td', {}, visible(v)))))) : h('p.muted', {}, 'No headers.'),
    bodyOf(body, size, type));
  const type = headers => headers.find(([k]) => k.toLowerCase() === 'content-type')?.[1] ?? '';
  nodes.push(part('Request', e.requestHeaders, e.requestBody, e.in, type(e.requestHeaders)));
  if (!e.ongoing) nodes.push(part('Response', e.responseHeaders, e.responseBody, e.out, type(e.responseHeaders)));
  return nodes.filter(Boolean);
}

// bodyOf returns the nodes of a body, of which data has the first bytes.
function bodyOf(data, size, type) {
  if (!size && !data?.length) return '';
  if (!data?.length) return h('p.muted', {}, `${bytes(size)}, not kept.`);
  const whole = data.length >= size;
  const text = utf8(data.subarray(0, 1 << 16)) ?? (whole ? null : utf8(data.subarray(0, Math.max(0, Math.min(data.length, 1 << 16) - 3))));
  return [
    h('pre', { tabIndex: 0 }, text === null ? hex(data) : visibleLines(redact(text))),
    whole ? '' : h('p.muted', {}, `The first ${bytes(data.length)} of ${bytes(size)}${type ? `, ${visible(type)}` : ''}.`),
  ];
}

const statusNames = {
  200: 'OK', 201: 'Created', 202: 'Accepted', 204: 'No Content', 206: 'Partial Content', 301: 'Moved Permanently', 302: 'Found', 304: 'Not Modified',
  307: 'Temporary Redirect', 308: 'Permanent Redirect', 400: 'Bad Request', 401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found', 405: 'Method Not Allowed',
  409: 'Conflict', 411: 'Length Required', 412: 'Precondition Failed', 413: 'Content Too Large', 415: 'Unsupported Media Type', 416: 'Range Not Satisfiable',
  429: 'Too Many Requests', 500: 'Internal Server Error', 501: 'Not Implemented', 502: 'Bad Gateway', 503: 'Service Unavailable', 504: 'Gateway Timeout', 507: 'Insufficient Storage',
};

// ---- The content ----

// The sizes up to which the page reads a blob: to show it, to list its files
// without being asked, and to list them at all, unpacked.
const limits = { text: 1 << 20, json: 4 << 20, unasked: 16 << 20, unpacked: 1 << 30 };

class Content {
  constructor(app) {
    this.app = app;
    $('reload-content').addEventListener('click', () => this.load());
    $('repos-bar').addEventListener('submit', e => e.preventDefault());
    $('repo-filter').addEventListener('input', () => this.narrow());
    $('layouts').addEventListener('click', e => busy(e.currentTarget, async () => {
      const res = await app.api.fetch('content', { headers: { Accept: 'application/x-tar' } });
      save(await res.blob(), 'content.tar');
    }));
    this.empty();
  }

  empty() {
    $('manifest').replaceChildren(h('div.empty', {}, h('p', {}, 'Choose a tag to see its manifest, platforms, layers and referrers.')));
  }

  path(repo, rest) {
    return `registry/v2/${repo.split('/').map(encodeURIComponent).join('/')}/${rest}`;
  }

  // all returns the pages of a list, up to a number of items.
  async all(path, field, most = 5000) {
    const items = [];
    for (let next = path; next && items.length < most;) {
      const res = await this.app.api.fetch(next);
      const page = (await res.json())[field] ?? [];
      items.push(...page);
      const m = /<([^>]*)>; *rel="?next/.exec(res.headers.get('Link') ?? '');
      // The link is to the registry's own path, below which only the query counts.
      next = m && page.length ? path.split('?')[0] + (m[1].includes('?') ? m[1].slice(m[1].indexOf('?')) : '') : null;
    }
    return items;
  }

  async load() {
    await fill($('repos'), async () => {
      this.repos = await this.all('registry/v2/_catalog?n=1000', 'repositories');
      return this.nodes();
    });
    this.loaded = true;
  }

  narrow() {
    if (this.repos) $('repos').replaceChildren(...this.nodes());
  }

  nodes() {
    const text = $('repo-filter').value.trim().toLowerCase();
    const repos = this.repos.filter(r => r.toLowerCase().includes(text));
    if (!repos.length) return [h('div.empty', {}, h('p', {}, this.repos.length ? 'No repository has that in its name.' : 'The registry is empty.'))];
    return some(repos, repo => this.repoNode(repo, repos.length === 1));
  }

  repoNode(repo, open) {
    const tags = h('div.tags');
    const el = h('details.repo', { 'data-repo': repo }, h('summary', { title: visible(repo) }, visible(repo)), tags);
    onOpen(el, () => fill(tags, async () => {
      const all = await this.all(this.path(repo, 'tags/list?n=1000'), 'tags');
      return all.length
        ? h('ul', {}, some(all, tag => h('li', {}, h('button.tag', { type: 'button', title: visible(`${repo}:${tag}`), 'data-ref': `${repo}\n${tag}`, on: { click: () => this.open(repo, tag) } }, visible(tag)))))
        : h('p.muted', {}, 'No tags.');
    }));
    el.open = open;
    return el;
  }

  // open shows the manifest of a tag or digest.
  async open(repo, ref) {
    for (const b of document.querySelectorAll('.tag[aria-current]')) b.removeAttribute('aria-current');
    for (const b of document.querySelectorAll('.tag')) if (b.dataset.ref === `${repo}\n${ref}`) b.setAttribute('aria-current', 'true');
    $('content-split').classList.add('open');
    await fill($('manifest'), async () => {
      const m = await this.manifest(repo, ref);
      const title = ref.includes(':') ? `${repo}@${short(ref)}` : `${repo}:${ref}`;
      const root = this.manifestNode(repo, m, { label: kindOf(m), manifest: m });
      root.open = true;
      return [
        h('header', {},
          h('button.back.quiet', { type: 'button', on: { click: () => $('content-split').classList.remove('open') } }, '← Repositories'),
          h('h2', {}, visible(title)),
          h('span.buttons', {}, copyButton('Copy reference', `${this.app.host}/${repo}${ref.includes(':') ? '@' : ':'}${ref}`, 'the reference'), copyButton('Copy digest', m.digest, 'the digest'))),
        root];
    });
    $('manifest').focus({ preventScroll: true });
  }

  // manifest reads a manifest and checks its digest.
  async manifest(repo, ref) {
    const res = await this.app.api.fetch(this.path(repo, `manifests/${encodeURIComponent(ref)}`), { headers: { Accept: [...manifestTypes, '*/*'].join(', ') } });
    const data = new Uint8Array(await res.arrayBuffer());
    const digest = res.headers.get('Docker-Content-Digest') ?? (ref.includes(':') ? ref : '');
    let json = null;
    try {
      json = JSON.parse(new TextDecoder().decode(data));
    } catch { /* a registry may accept any bytes */ }
    if (typeof json !== 'object' || Array.isArray(json)) json = null;
    return { mediaType: res.headers.get('Content-Type') ?? '', digest, size: data.length, data, json, valid: await verify(data, digest) };
  }

  async blob(repo, d, most) {
    if (d.size > most) throw new Error(`it has ${bytes(d.size)}; this page reads ${bytes(most)}`);
    const res = await this.app.api.fetch(this.path(repo, `blobs/${encodeURIComponent(d.digest)}`));
    const input = new Bytes(res.body, most);
    const parts = [];
    while (await input.more()) parts.push(input.rest);
    return new Uint8Array(await new Blob(parts).arrayBuffer());
  }

  // manifestNode returns the tree below a descriptor of a manifest.
  manifestNode(repo, d, { label, manifest } = {}) {
    const inside = h('div.inside');
    const el = h('details.node', {}, h('summary', {}, h('b', {}, visible(label ?? kindOf(d))), ' ',
      platform(d) ? h('span.platform', { title: visible(platform(d)) }, visible(platform(d))) : '', h('code.digest', { title: d.digest }, visible(short(d.digest))),
      h('span.size', {}, bytes(d.size))), inside);
    onOpen(el, () => fill(inside, async () => {
      const m = manifest ?? await this.manifest(repo, d.digest);
      return this.inside(repo, m, d);
    }));
    return el;
  }

  inside(repo, m, d) {
    const { json } = m;
    const nodes = [];
    if (m.valid === false) nodes.push(h('p.error', {}, 'Its bytes do not have this digest.'));
    const list = v => Array.isArray(v) ? v.filter(x => x && typeof x === 'object' && typeof x.digest === 'string') : [];
    const children = list(json?.manifests);
    const layers = list(json?.layers);
    const config = list([json?.config])[0];
    const total = [config, ...layers].filter(Boolean).reduce((n, x) => n + (Number(x.size) || 0), m.size);
    const subject = list([json?.subject])[0];
    nodes.push(facts([
      ['Media type', m.mediaType],
      ['Artifact type', json?.artifactType ?? ''],
      ['Digest', h('code', {}, visible(m.digest))],
      ['Size', layers.length ? `${bytes(m.size)}, with its blobs ${bytes(total)}` : bytes(m.size)],
      ['Subject', subject && h('button.link', { type: 'button', on: { click: () => this.open(repo, subject.digest) } }, visible(short(subject.digest)))],
      ...Object.entries(json?.annotations ?? {}),
      ...(d !== m ? Object.entries(d?.annotations ?? {}).map(([k, v]) => [`${k} (in the list)`, v]) : []),
    ].map(([k, v]) => [k, v instanceof Node ? v : v == null ? '' : String(v)])));
    nodes.push(h('p.buttons', {},
      h('button', { type: 'button', on: { click: () => save(new Blob([m.data]), `${m.digest.replace(':', '-')}.json`) } }, 'Download'),
      h('button', { type: 'button', on: { click: e => e.currentTarget.parentElement.after(h('pre', { tabIndex: 0 }, visibleLines(m.json ? JSON.stringify(m.json, null, 2) : utf8(m.data) ?? hex(m.data)))) || e.currentTarget.remove() } }, 'Show the JSON')));
    if (children.length) nodes.push(h('div.group', {}, h('h3', {}, plural(children.length, 'manifest')), some(children, c => this.manifestNode(repo, c))));
    if (config) nodes.push(this.configNode(repo, config));
    const largest = Math.max(1, ...layers.map(l => Number(l.size) || 0));
    if (layers.length) nodes.push(h('div.group', {}, h('h3', {}, plural(layers.length, 'layer')), some(layers, (l, i) => this.layerNode(repo, l, i, largest))));
    if (m.digest) nodes.push(this.referrersNode(repo, m.digest));
    return nodes;
  }

  configNode(repo, d) {
    const inside = h('div.inside');
    const el = h('details.node', {}, h('summary', {}, h('b', {}, 'config'), ' ', h('code.digest', { title: d.digest }, visible(short(d.digest))), h('span.size', {}, bytes(d.size))), inside);
    onOpen(el, () => fill(inside, async () => {
      const data = await this.blob(repo, d, limits.json);
      let json = null;
      try {
        json = JSON.parse(new TextDecoder().decode(data));
      } catch { /* the config of an artifact may be anything */ }
      const c = json?.config ?? {};
      const list = v => Array.isArray(v) ? v.map(x => JSON.stringify(x)).join(' ') : '';
      return [
        await verify(data, d.digest) === false ? h('p.error', {}, 'Its bytes do not have this digest.') : null,
        facts([
          ['Media type', d.mediaType],
          ['Platform', [json?.os, json?.architecture, json?.variant].filter(x => typeof x === 'string').join('/')],
          ['Created', json?.created], ['Author', json?.author],
          ['User', c.User], ['Entrypoint', list(c.Entrypoint)], ['Command', list(c.Cmd)], ['Working directory', c.WorkingDir], ['Environment', list(c.Env)],
          ...Object.entries(c.Labels ?? {}),
        ].map(([k, v]) => [k, v == null ? '' : String(v)])),
        Array.isArray(json?.history) && json.history.length ? h('div.group', {}, h('h3', {}, 'History'),
          h('ol.history', {}, some(json.history, x => h('li', {}, h('code', {}, visible(x?.created_by ?? x?.comment ?? '')))))) : null,
        h('details.part', {}, h('summary', {}, 'JSON'), h('pre', { tabIndex: 0 }, visibleLines(json ? JSON.stringify(json, null, 2) : utf8(data) ?? hex(data)))),
      ];
    }));
    return el;
  }

  layerNode(repo, d, i, largest) {
    const inside = h('div.inside');
    const fill = h('i.fill');
    fill.style.width = `${Math.max(1, (Number(d.size) || 0) / largest * 100)}%`;
    const title = d.annotations?.['org.opencontainers.image.title'];
    const el = h('details.node', {}, h('summary', {}, h('b', {}, title ? visible(title) : `layer ${i + 1}`), ' ',
      h('code.digest', { title: d.digest }, visible(short(d.digest))), h('span.share', { 'aria-hidden': 'true' }, fill), h('span.size', {}, bytes(d.size))), inside);
    onOpen(el, () => {
      const files = h('div.files');
      inside.replaceChildren(...[
        facts([['Media type', d.mediaType], ['Digest', h('code', {}, visible(d.digest))], ['Size', `${Number(d.size).toLocaleString('en')} bytes`],
          ...Object.entries(d.annotations ?? {}).map(([k, v]) => [k, String(v)])]),
        h('p.buttons', {},
          h('button', { type: 'button', on: { click: () => this.listFiles(repo, d, files) } }, 'List what is in it'),
          h('button', { type: 'button', on: { click: e => busy(e.currentTarget, async () => save(await (await this.app.api.fetch(this.path(repo, `blobs/${encodeURIComponent(d.digest)}`))).blob(), d.digest.replace(':', '-'))) } }, 'Download')),
        files].filter(Boolean));
      if (Number(d.size) <= limits.unasked) this.listFiles(repo, d, files);
    });
    return el;
  }

  // listFiles shows what is in a blob: the files of a tar file, or text.
  async listFiles(repo, d, el) {
    await fill(el, async () => {
      const stop = new AbortController();
      const res = await this.app.api.fetch(this.path(repo, `blobs/${encodeURIComponent(d.digest)}`), { signal: stop.signal });
      const [head, body] = await peek(res.body);
      const format = compression(head);
      if (format === 'zstd') {
        stop.abort();
        return h('p.muted', {}, 'It is compressed with zstd, which browsers and this page cannot read. Download it to look inside.');
      }
      const unpacked = format === 'gzip' ? body.pipeThrough(new DecompressionStream('gzip')) : body;
      const [start, content] = await peek(unpacked, 512);
      if (!isTar(start)) {
        const input = new Bytes(content, limits.text);
        const parts = [];
        let whole = true;
        try {
          while (await input.more()) parts.push(input.rest);
        } catch {
          whole = false;
        }
        stop.abort();
        const data = new Uint8Array(await new Blob(parts).arrayBuffer());
        if (!data.length) return h('p.muted', {}, whole ? 'It is empty.' : 'It is too large to show.');
        const text = utf8(data);
        return [h('pre', { tabIndex: 0 }, text === null ? hex(data) : visibleLines(indented(text))), whole ? null : h('p.muted', {}, `The first ${bytes(data.length)}.`)];
      }
      const entries = [];
      let problem = '';
      try {
        for await (const e of tar(content, { bytes: limits.unpacked })) entries.push(e);
      } catch (err) {
        problem = err.message;
      }
      stop.abort();
      const size = entries.reduce((n, e) => n + e.size, 0);
      return [
        h('p', {}, `${plural(entries.length, 'entry').replace('entrys', 'entries')}, ${bytes(size)} unpacked`),
        problem ? h('p.error', {}, visible(`Not all of it: ${problem}.`)) : null,
        entries.length ? fileList(entries) : null];
    });
  }

  referrersNode(repo, digest) {
    const inside = h('div.inside');
    const count = h('span.size');
    const el = h('details.node.referrers', {}, h('summary', {}, h('b', {}, 'referrers'), ' ', count), inside);
    const load = fill(inside, async () => {
      const all = await this.all(this.path(repo, `referrers/${encodeURIComponent(digest)}`), 'manifests');
      count.textContent = all.length || 'none';
      return all.length ? some(all, d => this.manifestNode(repo, d, { label: d.artifactType || kindOf(d) })) : h('p.muted', {}, 'No manifest refers to this one.');
    });
    load.then(() => { if (inside.querySelector('.error')) count.textContent = 'unknown'; });
    return el;
  }
}

// onOpen calls a function when a details element is opened for the first time.
function onOpen(el, f) {
  const open = () => {
    if (!el.open) return;
    el.removeEventListener('toggle', open);
    f();
  };
  el.addEventListener('toggle', open);
}

// kindOf returns the kind of a manifest, in a word.
function kindOf(d) {
  const type = d.mediaType ?? '';
  if (/index|manifest\.list/.test(type)) return 'index';
  if (d.artifactType) return d.artifactType;
  const config = d.json?.config?.mediaType ?? '';
  if (d.json?.artifactType) return 'artifact';
  if (config && !/image\.config|container\.image/.test(config)) return 'artifact';
  return /manifest/.test(type) ? 'image' : 'manifest';
}

function platform(d) {
  const p = d.platform;
  return p ? [p.os, p.architecture, p.variant].filter(Boolean).join('/') + (p['os.version'] ? ` ${p['os.version']}` : '') : '';
}

// verify reports whether data has the digest, or null if it cannot tell.
async function verify(data, digest) {
  const m = /^sha(256|512):([0-9a-f]+)$/.exec(digest);
  if (!m || !crypto.subtle) return null;
  const sum = new Uint8Array(await crypto.subtle.digest(`SHA-${m[1]}`, data));
  return [...sum].map(b => b.toString(16).padStart(2, '0')).join('') === m[2];
}

// peek returns the first bytes of a stream, and a stream that has all of it.
async function peek(stream, n = 4) {
  const reader = stream.getReader();
  let head = new Uint8Array(0);
  while (head.length < n) {
    const { done, value } = await reader.read();
    if (done) break;
    const both = new Uint8Array(head.length + value.length);
    both.set(head);
    both.set(value, head.length);
    head = both;
  }
  let first = head.length ? head : null;
  return [head, new ReadableStream({
    async pull(controller) {
      if (first) {
        controller.enqueue(first);
        first = null;
        return;
      }
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: reason => reader.cancel(reason),
  })];
}

// isTar reports whether the first 512 bytes of a file are the header of a tar file.
export function isTar(block) {
  if (block.length < 512) return false;
  try {
    return number(block.subarray(148, 156)) === checksum(block);
  } catch {
    return false;
  }
}

function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

// fileList returns a list of the entries of a tar file.
function fileList(entries) {
  const rows = h('div.rows');
  const scroller = h('div.filelist', { tabIndex: 0, role: 'list', 'aria-label': 'Files' }, rows);
  const make = () => {
    const row = h('div.file', { role: 'listitem' }, h('span.mode'), h('span.owner'), h('span.size'), h('span.name'));
    row.cells = [...row.children];
    return row;
  };
  const list = new List(scroller, rows, make, (row, i) => {
    const e = entries[i];
    const [m, owner, size, name] = row.cells;
    m.textContent = mode(e);
    owner.textContent = visible(e.owner);
    size.textContent = e.type === 'file' ? bytes(e.size) : '';
    const text = visible(e.name) + (e.type === 'symlink' ? ` → ${visible(e.link)}` : e.type === 'link' ? ` = ${visible(e.link)}` : '');
    name.textContent = name.title = text;
    row.classList.toggle('whiteout', /(^|\/)\.wh\.[^/]*$/.test(e.name));
  });
  list.size(entries.length);
  scroller.style.height = `min(${entries.length * 20 + 2}px, 50vh, 340px)`;
  requestAnimationFrame(() => list.measure());
  return scroller;
}

// ---- The faults ----

const examples = [
  ['503 twice', 'any times=2 status=503'],
  ['rate limit', 'get-manifest,head-manifest times=3 status=429 retry-after=1'],
  ['cut a blob', 'get-blob once close=1000'],
  ['wrong bytes', 'get-blob once corrupt=0'],
  ['slow', 'get-blob throttle=100000'],
  ['late', 'any delay=2s'],
  ['lost answer', 'put-manifest once after-commit reset'],
];

class Faults {
  constructor(app) {
    this.app = app;
    $('rule-form').addEventListener('submit', e => {
      e.preventDefault();
      this.add('faults');
    });
    $('add-hold').addEventListener('click', () => this.add('holds'));
    $('rule').addEventListener('input', () => this.error(null));
    $('examples').append('For example', ...examples.map(([name, text]) => h('button', { type: 'button', title: text, on: { click: () => this.write(text) } }, name)));
    this.draw([], []);
  }

  write(text) {
    $('rule').value = text;
    this.error(null);
    $('rule').focus();
  }

  error(err) {
    $('rule-error').hidden = !err;
    $('rule-error').textContent = err ? visible(err.message) : '';
    $('rule').setAttribute('aria-invalid', !!err);
    const at = err?.body?.position; // in bytes
    if (Number.isInteger(at)) {
      const before = new TextDecoder().decode(new TextEncoder().encode($('rule').value).subarray(0, at));
      $('rule').setSelectionRange(before.length, $('rule').value.length);
    }
  }

  async add(where) {
    const text = $('rule').value = $('rule').value.trim();
    if (!text) {
      $('rule').focus();
      return;
    }
    try {
      await this.app.api.fetch(where, { method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: text });
      $('rule').value = '';
      this.error(null);
      toast(where === 'faults' ? 'The rule is in force' : 'The gate is closed');
      await this.refresh();
    } catch (err) {
      this.error(err);
    }
  }

  // refresh reads the rules and the gates again.
  async refresh() {
    try {
      const [faults, holds] = await Promise.all([this.app.api.json('faults'), this.app.api.json('holds')]);
      this.draw(faults.faults, holds.holds.filter(g => !g.released));
    } catch { /* the state of the connection is shown elsewhere */ }
  }

  draw(faults, holds) {
    const waiting = holds.reduce((n, g) => n + g.waiting.length, 0);
    $('count-faults').textContent = faults.length + holds.length || '';
    $('count-faults').classList.toggle('waiting', waiting > 0);
    this.rows($('faults'), faults, 'No rule is in force.', f => [plural(f.fired, 'hit')], f => [
      ['Remove', () => this.remove(f)]]);
    this.rows($('holds'), holds, 'No gate stops requests.', g => [g.waiting.length ? h('strong', { title: g.waiting.map(visible).join('\n') }, `${plural(g.waiting.length, 'request')} waiting`) : 'none waiting', `, ${plural(g.fired, 'hit')}`], g => [
      ['Release', () => this.app.api.fetch(`holds/${encodeURIComponent(g.id)}/release`, { method: 'POST' })]]);
  }

  // remove removes a rule. If it did not happen as it says, the API tells which
  // requests it nearly hit, and the page shows them.
  async remove(f) {
    $('removed').hidden = true;
    try {
      await this.app.api.fetch(`faults/${encodeURIComponent(f.id)}?check`, { method: 'DELETE' });
    } catch (err) {
      if (err.status !== 409) throw err;
      $('removed').replaceChildren(h('p', {}, 'It is removed. ', h('button.link', { type: 'button', on: { click: () => $('removed').hidden = true } }, 'Hide this')),
        h('pre', { tabIndex: 0 }, visibleLines(err.message)));
      $('removed').hidden = false;
    }
  }

  // rows updates a list in place, so that a button keeps the focus.
  rows(el, items, none, counts, actions) {
    if (!items.length) {
      el.replaceChildren(h('p.muted', {}, none));
      return;
    }
    if (el.firstElementChild?.localName !== 'ul') el.replaceChildren(h('ul.rules'));
    const ul = el.firstElementChild;
    const old = new Map([...ul.children].map(li => [li.dataset.id, li]));
    for (const item of items) {
      let li = old.get(String(item.id));
      old.delete(String(item.id));
      if (!li) {
        li = h('li', { 'data-id': item.id }, h('code', {}, visible(item.rule)), h('span.fired'), h('span.buttons', {}, actions(item).map(([name, f]) =>
          h('button', { type: 'button', on: { click: e => busy(e.currentTarget, async () => { await f(); await this.refresh(); }) } }, name))));
        ul.append(li);
      }
      const text = counts(item);
      const fired = li.querySelector('.fired');
      fired.replaceChildren(...text);
      li.classList.toggle('unused', !item.fired);
    }
    for (const li of old.values()) li.remove();
  }
}

// ---- The page ----

class App {
  constructor() {
    this.views = ['requests', 'content', 'faults'];
    this.url = '';
    this.host = location.host;
    this.requests = new Requests(this);
    this.content = new Content(this);
    this.faults = new Faults(this);
    for (const view of this.views) $(`tab-${view}`).addEventListener('click', () => this.show(view));
    document.querySelector('[role=tablist]').addEventListener('keydown', e => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
      if (!step) return;
      e.preventDefault();
      this.show(this.views[(this.views.indexOf(this.view) + step + this.views.length) % this.views.length]);
      $(`tab-${this.view}`).focus();
    });
    document.addEventListener('keydown', e => this.key(e));
    $('theme').addEventListener('click', () => this.theme());
    $('help').addEventListener('click', () => $('keys').showModal());
    $('login-form').addEventListener('submit', e => {
      e.preventDefault();
      this.open($('token').value.trim());
    });
    // The rules that others set, and the requests that wait at a gate, come without an event.
    setInterval(() => { if (!document.hidden && this.view === 'faults' && this.api) this.faults.refresh(); }, 2000);
    onUnauthorized = err => this.askToken(err.message);
  }

  theme() {
    const dark = getComputedStyle(document.documentElement).colorScheme === 'dark' ||
      (document.documentElement.dataset.theme !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
    document.documentElement.dataset.theme = dark ? 'light' : 'dark';
    remember('theme', document.documentElement.dataset.theme);
  }

  key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector('dialog[open]')) return;
    if (e.key === 'Escape') {
      if (e.target.matches('input[type=search]') && e.target.value) {
        e.preventDefault(); // Not all browsers clear it.
        e.target.value = '';
        e.target.dispatchEvent(new Event('input'));
        return;
      }
      if (this.view === 'requests') this.requests.close();
      else $('content-split').classList.remove('open');
      return;
    }
    if (e.target.matches('input, textarea, select')) return;
    const view = this.views[Number(e.key) - 1];
    if (view) this.show(view);
    else if (e.key === '/') {
      e.preventDefault();
      $({ requests: 'filter', content: 'repo-filter', faults: 'rule' }[this.view]).focus();
    } else if (e.key === '?') $('keys').showModal();
    else if (e.key === 'f' && this.view === 'requests') {
      const r = this.requests.log.byNumber.get(this.requests.selected);
      if (r) {
        e.preventDefault();
        this.writeRule(r);
      }
    } else if (['j', 'k', 'ArrowDown', 'ArrowUp'].includes(e.key) && this.view === 'requests' && e.target === document.body) {
      $('grid').focus();
      this.requests.key(e);
    }
  }

  show(view) {
    this.view = view;
    for (const v of this.views) {
      $(`view-${v}`).hidden = v !== view;
      $(`tab-${v}`).setAttribute('aria-selected', v === view);
      $(`tab-${v}`).tabIndex = v === view ? 0 : -1;
    }
    history.replaceState(null, '', `#/${view}`);
    if (!this.api) return;
    if (view === 'content' && !this.content.loaded) this.content.load();
    if (view === 'faults') this.faults.refresh();
    if (view === 'requests') this.requests.list.measure();
  }

  async openContent(repo, ref) {
    this.show('content');
    await this.content.open(repo, ref);
  }

  writeRule(e) {
    this.show('faults');
    this.faults.write(rule(e));
  }

  askToken(message) {
    this.stop?.abort();
    this.state('no token', 'failed');
    $('login-error').hidden = !message;
    $('login-error').textContent = message ? visible(message) : '';
    if (!$('login').open) $('login').showModal();
  }

  state(text, kind) {
    $('state').textContent = text;
    $('state').dataset.state = kind;
  }

  // start takes the token of the URL out of it, so that it is not seen and not
  // in the history.
  start() {
    const theme = recall('theme');
    if (theme) document.documentElement.dataset.theme = theme;
    let fragment = location.hash.slice(1);
    try {
      fragment = decodeURIComponent(fragment);
    } catch { /* It has a % of its own. */ }
    const view = this.views.find(v => fragment === `/${v}`);
    const token = fragment && !view ? fragment : recall('token');
    this.show(view ?? 'requests');
    if (token) this.open(token);
    else this.askToken('');
  }

  async open(token) {
    this.stop?.abort();
    const stop = this.stop = new AbortController();
    this.api = new API(token);
    this.state('connecting', 'waiting');
    try {
      this.about(await this.api.json('', { signal: stop.signal }));
    } catch (err) {
      if (err.status !== 401) {
        this.state('not reached', 'failed');
        setTimeout(() => this.api?.token === token && !stop.signal.aborted && this.open(token), 2000);
      }
      return;
    }
    remember('token', token);
    if ($('login').open) $('login').close();
    this.show(this.view);
    this.follow(stop.signal);
    this.faults.refresh();
  }

  about(info) {
    const registries = info?.registries ?? [];
    const first = registries[0];
    this.url = first?.url ?? '';
    this.host = this.url.replace(/^https?:\/\//, '').replace(/\/$/, '') || location.host;
    document.title = `${this.host} · ocireg`;
    $('where').replaceChildren(...registries.slice(0, 3).flatMap(r => [
      h('button.link', { type: 'button', title: 'Copy the address', on: { click: () => copy(r.url, 'the address') } }, visible(r.url)),
      r.profile ? h('span.muted', {}, ` as ${visible(r.profile)} `) : ' ']));
  }

  // follow shows requests as they come, until the signal.
  async follow(signal) {
    for (let wait = 500; !signal.aborted; wait = Math.min(wait * 2, 5000)) {
      try {
        const res = await this.api.fetch('requests?follow', { headers: { Accept: 'text/event-stream' }, signal });
        this.state('live', 'live');
        this.requests.reset(true); // The stream begins with all requests.
        wait = 500;
        for await (const event of events(res.body)) this.event(event);
      } catch (err) {
        if (signal.aborted || err.status === 401) return;
      }
      this.state('reconnecting', 'failed');
      await new Promise(done => setTimeout(done, wait));
    }
  }

  event(event) {
    let json;
    try {
      json = JSON.parse(event.data);
    } catch {
      return;
    }
    if (typeof json?.number !== 'number' || json.number <= this.requests.since) return;
    this.requests.add([entry(json)]);
    this.later();
  }

  // later reads the findings and the rules again, soon after requests.
  later() {
    if (this.waiting) return;
    this.waiting = setTimeout(async () => {
      const began = performance.now();
      try {
        this.requests.find(await this.findings());
        await this.faults.refresh();
      } catch { /* the state of the connection is shown */ }
      this.pause = Math.max(400, 5 * (performance.now() - began)); // Linting a long journal takes a while.
      this.waiting = null;
    }, this.pause ?? 400);
  }

  async findings() {
    const list = await this.api.json('findings');
    return list.findings.map(f => ({ number: f.request, rule: f.rule, text: f.text, requirement: f.requirement, source: f.source }));
  }
}

// remember and recall keep a value for this tab.
function remember(key, value) {
  try {
    sessionStorage.setItem(`ocireg.${key}`, value);
  } catch { /* the browser may forbid it */ }
}

function recall(key) {
  try {
    return sessionStorage.getItem(`ocireg.${key}`);
  } catch {
    return null;
  }
}

if (typeof document !== 'undefined') new App().start();
