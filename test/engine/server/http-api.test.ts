import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { CatalogError } from '../../../src/catalog/catalog-error.ts';
import { accessOf } from '../../../src/engine/base/access.ts';
import { openLockdown } from '../../../src/alarms/lockdown.ts';
import { httpApi, type HttpApiOptions } from '../../../src/engine/server/http-api.ts';
import type { Monitor } from '../../../src/engine/watch/monitor.ts';
import { checkLockdown } from '../../../src/engine/operations/lockdown.ts';
import { InvariantError } from '../../../src/lib/assert.ts';
import { OPERATIONS } from '../../../src/operations/operations.ts';
import { openApi } from '../../../src/operations/openapi.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import type { HttpRequest } from '../../../src/sys/net/http-server.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';
import { simulatedWorld } from '../../support/store.ts';
import type { ServiceContext } from '../../../src/engine/operations/context.ts';
import { metrics } from '../../../src/engine/operations/metrics.ts';
import { emptyService, handlersOn } from '../../support/service-context.ts';

const seen: string[] = [];
const none = async (): Promise<never> => {
  seen.push('handler');
  throw new CatalogError('NOT_FOUND', 'nothing here');
};
const service: ServiceContext = {
  ...emptyService(none),
  show: async () => ({
    ...{ pid: 1, started: '2026-11-21T18:00:00Z', store: '/s', storeId: null, space: null },
    ...{ sessions: { running: 0, waiting: 0 }, jobs: { running: 0, waiting: 0 } },
    host: { name: 'box', addresses: [] },
    alarms: { critical: 0, warning: 0, acknowledged: 0, untold: 0 },
    lockdown: null,
    notAdopted: [],
  }),
};
const handlers = handlersOn(service, none);
const faults: string[] = [];
const GROUPS: Readonly<Record<string, number>> = { holdfast: 900, 'holdfast-view': 901 };
const API: HttpApiOptions = {
  handlers,
  metrics: () => metrics(service),
  clock: systemClock(),
  version: '1',
  secrets: none,
  audited: async () => async () => {},
  checkAllowed() {},
  checkPasskey: undefined,
  access: (peer) => accessOf(peer, (name) => GROUPS[name]),
  onFault: (what, error) => void faults.push(`${what}: ${error.message}`),
};
const answer = httpApi(API);

const ROOT = { pid: 1, uid: 0, gids: [0] };
const ADMIN = { pid: 1, uid: 4000, gids: [100, 900] };
const VIEWER = { pid: 1, uid: 4001, gids: [901] };
const STRANGER = { pid: 1, uid: 4002, gids: [100] };

interface Asked {
  readonly peer: typeof ROOT;
  readonly method: string;
  readonly body: string;
  readonly accept: string;
}

async function ask(path: string, asked: Partial<Asked> = {}, answerer = answer) {
  const { peer = ROOT, method = 'POST', body = '{}', accept = '' } = asked;
  let status = 0;
  let text = '';
  let ended = false;
  seen.length = 0;
  await answerer({
    ...{ method, path, peer, accept, signal: new AbortController().signal },
    body: async () => Buffer.from(body),
    begin: (code) => void (status = code),
    send: (piece) => void (text += piece),
    end: () => void (ended = true),
  } satisfies HttpRequest);
  ok(ended);
  return { status, text };
}

test('root and the group holdfast may do all, holdfast-view may look, others may nothing', async () => {
  const changes = Object.entries(OPERATIONS).filter(([, { access }]) => access === 'change');
  ok(changes.length > 5);
  for (const [name] of changes) {
    equal((await ask(`/v1/${name}`, { peer: VIEWER })).status, 403, name);
    deepEqual(seen, [], name);
  }
  for (const peer of [ROOT, ADMIN, VIEWER]) {
    equal((await ask('/v1/service/show', { peer })).status, 200);
    equal((await ask('/v1/openapi.json', { peer, method: 'GET' })).status, 200);
  }
  equal((await ask('/v1/store/create', { peer: ADMIN })).status, 404, 'as the handler says');
  for (const path of [
    '/metrics',
    '/v1/service/show',
    '/v1/openapi.json',
    '/',
    '/v1/store/create',
  ]) {
    equal((await ask(path, { peer: STRANGER })).status, 403, path);
  }
});

test('who may only look does not get the definition of a machine: it may contain passwords', async () => {
  const asked = (peer: typeof ROOT, definition: boolean) =>
    ask('/v1/backup/show', { peer, body: JSON.stringify({ point: 'x', definition }) });
  const { status, text } = await asked(VIEWER, true);
  equal(status, 403);
  match(text, /\\"definition\\" of backup\/show is for root and the group holdfast/);
  deepEqual(seen, []);
  for (const [peer, definition] of [
    [VIEWER, false],
    [ADMIN, true],
  ] as const) {
    equal((await asked(peer, definition)).status, 404, 'as the handler says');
  }
});

test('a request is not deeper than requests are, whatever its texts hold', async () => {
  const deep = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;
  const { status, text } = await ask('/v1/backup/list', { body: `{"set":${deep(400_000)}}` });
  equal(status, 400);
  match(text, /at most 32 levels deep/);
  deepEqual(seen, []);
  const set = '[{'.repeat(50) + String.raw`\"[{`.repeat(5);
  const flat = await ask('/v1/backup/list', { body: JSON.stringify({ set }) });
  ok(!/levels deep/.test(flat.text), flat.text);
});

test('a caller who may not ask learns nothing about the files that a request names', async () => {
  const refusing = httpApi({
    ...API,
    checkAllowed() {
      throw new SystemError('DENIED', 'not now');
    },
  });
  const request = { point: 'x', disk: 'vda', to: '/nowhere/there/is/x.raw' };
  const { text } = await ask('/v1/restore/disk', { body: JSON.stringify(request) }, refusing);
  equal((JSON.parse(text) as { message: string }).message, 'not now');
});

test('a peer that the kernel does not vouch for may nothing', async () => {
  let status = 0;
  await answer({
    ...{ method: 'POST', path: '/v1/service/show', peer: undefined, accept: '' },
    signal: new AbortController().signal,
    body: async () => new Uint8Array(0),
    begin: (code) => void (status = code),
    send() {},
    end() {},
  });
  equal(status, 403);
});

test('an operation that the lockdown forbids is recorded as tried, and not done', async () => {
  const lockdown = await openLockdown(
    simulatedWorld(),
    { directory: '/', store: '/', checks: () => 'checked' as const },
    () => {},
  );
  const tried: string[] = [];
  const guarded = httpApi({
    ...API,
    handlers: handlersOn(
      { ...service, monitor: async () => ({ lockdown, persons: () => 2 }) as Monitor },
      none,
    ),
    checkAllowed: (name, request) => checkLockdown(lockdown, name, request),
    audited: async (caller, what) => {
      const uid = 'uid' in caller ? caller.uid : caller.token;
      return async (outcome) => void tried.push(`${uid} ${what} ${outcome}`);
    },
  });
  const by = async (peer: typeof ROOT, name: string): Promise<string> =>
    (await ask(`/v1/${name}`, { peer }, guarded)).text;
  await by(ROOT, 'lockdown/on');
  for (const [name, body] of [
    ['backup/forget', { point: 'x' }],
    ['schedule/remove', { schedule: 'x' }],
    ['session/discard', { session: 'x' }],
    ['alarm/acknowledge', { alarm: 'x' }],
    ['session/run', { points: ['x'], on: 'kvm1', replace: 'delete' }],
    ['lockdown/on', {}],
  ] as const) {
    const { text } = await ask(`/v1/${name}`, { body: JSON.stringify(body) }, guarded);
    match(text, /the lockdown is on/);
    deepEqual(seen, [], `${name} has got to its handler`);
    equal(tried.pop(), `0 ${name} failed`);
  }
  await ask('/v1/session/stop', { body: '{"session":"x"}' }, guarded);
  deepEqual(seen, ['handler']);
  tried.length = 0;
  for (const peer of [ROOT, ROOT, ADMIN]) {
    equal(lockdown.state()?.persons, 2);
    await by(peer, 'lockdown/off');
  }
  equal(lockdown.state(), undefined);
  deepEqual(tried, ['0 lockdown/off done', '0 lockdown/off done', '4000 lockdown/off done']);
});

test('an operation that changes something is not asked with GET', async () => {
  equal((await ask('/v1/store/create', { method: 'GET' })).status, 405);
  equal((await ask('/v1/service/show', { method: 'GET', body: '' })).status, 200);
  equal((await ask('/v1/service/show', { method: 'DELETE' })).status, 405);
});

test('metrics are text, also where there is no store yet', async () => {
  const { status, text } = await ask('/metrics', { peer: VIEWER, method: 'GET' });
  equal(status, 200);
  match(text, /^# HELP holdfast_started_seconds .*\n# TYPE holdfast_started_seconds gauge\n/);
  match(text, /\nholdfast_store_present 0\n/);
});

test('a stream ends with one line that says how it ended', async () => {
  const accept = 'application/x-ndjson';
  const good = await ask('/v1/service/show', { accept });
  equal(good.status, 200);
  match(good.text, /^\{"event":"result","result":\{.*\}\}\n$/);
  const bad = await ask('/v1/set/list', { accept });
  match(bad.text, /^\{"event":"error","kind":"not-found","message":"nothing here"\}\n$/);
});

test('a fault of ours in one request is told in the log, and is that request only', async () => {
  let fault: Error = new TypeError('no secret/path');
  const failing: HttpApiOptions = {
    ...API,
    handlers: { ...handlers, 'store/rebuild-index': () => Promise.reject(fault) },
  };
  faults.length = 0;
  for (const accept of ['', 'application/x-ndjson']) {
    const { status, text } = await ask('/v1/store/rebuild-index', { accept }, httpApi(failing));
    equal(status, accept === '' ? 500 : 200);
    match(text, /^\{"event":"error","kind":"failed","message":"internal error: /);
    ok(!text.includes('secret'), text);
  }
  deepEqual(faults, Array(2).fill('store/rebuild-index: no secret/path'));
  // From here on nothing in memory can be trusted.
  fault = new InvariantError('two writers');
  await rejects(ask('/v1/store/rebuild-index', {}, httpApi(failing)), InvariantError);
});

test('no path or name has a control character in it', async () => {
  for (const body of [
    { point: 'vm@latest', listen: 'unix:/tmp/a\u0000' },
    { point: 'vm\n@latest' },
    { point: 'vm@latest', nfs: { host: 'a\u007f' } },
  ]) {
    const { status, text } = await ask('/v1/session/start', { body: JSON.stringify(body) });
    equal(status, 400);
    match(text, /free of control characters/);
    deepEqual(seen, []);
  }
});

test('what is wrong with a secret is told without the secret', async () => {
  for (const secret of [
    '"hunter2"',
    '{"kind": "passphrase", "base64": "hunter2 !"}',
    '{"hunter2": 1',
  ]) {
    const { status, text } = await ask('/v1/backup/show', {
      body: `{"point": "x", "secret": ${secret}}`,
    });
    equal(status, 400);
    ok(!text.includes('hunter2'), text);
  }
});

test('the description has every operation, with what it takes', async () => {
  const { paths } = openApi('1') as { paths: Record<string, { post: { operationId: string } }> };
  deepEqual(
    Object.keys(paths),
    Object.keys(OPERATIONS).map((name) => `/v1/${name}`),
  );
  match(JSON.stringify(paths['/v1/backup/create']), /"required":\["set","machine","disks"\]/);
  match(JSON.stringify(paths['/v1/backup/create']), /"secret":/);
});
