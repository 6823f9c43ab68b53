import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { openAgent } from '../../../src/hypervisors/qmp/agent.ts';
import { AGENT, QMP } from '../../../src/hypervisors/qmp/commands.ts';
import { openQmpLink } from '../../../src/hypervisors/qmp/link.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import { fakeAgent } from '../../support/fake-agent.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { fakeQmp } from '../../support/fake-qmp.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { until } from '../../support/until.ts';
import { endless } from '../taking.ts';

const directory = temporaryDirectory();
let sockets = 0;
const newPath = (): string => join(directory, `${++sockets}.qmp`);
const open = (path: string, clock = systemClock()) =>
  openQmpLink(path, { clock, signal: endless() });

test('a connection is greeted, says what it can, and is answered', async () => {
  const path = newPath();
  await using qemu = await fakeQmp(path);
  await using link = await open(path);
  equal(await link.call(QMP.status), 'running');
  deepEqual(qemu.heard, ['qmp_capabilities', 'query-status']);
  deepEqual([link.version.major, link.pid], [7, process.pid]);
});

test('events, and answers to others, are not the answer', async () => {
  const path = newPath();
  await using qemu = await fakeQmp(path);
  await using link = await open(path);
  const noise = [{ event: 'STOP' }, { return: [{ id: 'x', status: 'y' }], id: 77 }, { return: 1 }];
  const lines = [...noise, { return: [], id: 2 }].map((it) => `${JSON.stringify(it)}\n`);
  qemu.answers.set('query-jobs', lines.join(''));
  deepEqual(await link.call(QMP.jobs), []);
});

test('no greeting: another program is connected, which is BUSY with what to do', async () => {
  const path = newPath();
  await using qemu = await fakeQmp(path, { greeting: '' });
  const clock = fakeClock('2026-01-01T00:00:00Z');
  const opening = open(path, clock);
  const failure = rejects(opening, { code: 'BUSY', message: /another program.*-qmp/ });
  await until('it waits', () => qemu.sockets.size === 1);
  await clock.advance(11_000);
  await failure;
});

test('no socket, or one at which nothing listens: the machine is off', async () => {
  const path = newPath();
  await rejects(open(path), { code: 'UNREACHABLE', message: /the machine is off/ });
});

test('what does not speak as QEMU does is refused', async () => {
  for (const greeting of ['hello', '[]', '{"QMP": {}}', '{"QMP": 1}', '\u0000']) {
    const path = newPath();
    await using _qemu = await fakeQmp(path, { greeting });
    await rejects(open(path), { code: 'FAILED', message: /does not speak as QEMU/ });
  }
});

test('answers that are hostile end the connection, or are refused in words', async () => {
  const path = newPath();
  await using qemu = await fakeQmp(path);
  for (const answer of ['x\n', '{"no": 1}\n', `"${'y'.repeat(17 * 2 ** 20)}`]) {
    await using link = await open(path);
    qemu.answers.set('query-jobs', answer);
    await rejects(link.call(QMP.jobs), { code: 'FAILED' });
    await rejects(link.call(QMP.status), { code: 'FAILED' });
  }
  await using link = await open(path);
  qemu.answers.set('query-jobs', { 0: 1 });
  await rejects(link.call(QMP.jobs), { code: 'FAILED', message: /"query-jobs" cannot be read/ });
  equal(await link.call(QMP.status), 'running');
});

test('errors of QEMU keep its words, and mean what they say', async () => {
  const path = newPath();
  await using qemu = await fakeQmp(path);
  await using link = await open(path);
  for (const [name, desc, code] of [
    ['GenericError', 'Bitmap already exists: a', 'FAILED'],
    ['CommandNotFound', 'The command query-jobs has not been found', 'UNSUPPORTED'],
    ['DeviceNotFound', 'Device x not found', 'NOT_FOUND'],
    ['GenericError', "Could not create '/x': Permission denied", 'DENIED'],
    ['GenericError', 'Could not write: No space left on device', 'NO_SPACE'],
  ] as const) {
    qemu.answers.set('query-jobs', { error: { class: name, desc } });
    await rejects(link.call(QMP.jobs), { code, message: `QEMU: ${desc}` });
  }
});

test('a connection that ends rejects what waits, and what comes later', async () => {
  const path = newPath();
  await using qemu = await fakeQmp(path);
  await using link = await open(path);
  const call = link.call(QMP.jobs);
  await until('it is asked', () => qemu.heard.includes('query-jobs'));
  for (const it of qemu.sockets) it.destroy();
  await rejects(call, { code: 'UNREACHABLE', message: /QEMU ended the connection/ });
  await rejects(link.call(QMP.status), { code: 'UNREACHABLE' });
});

test('an answer that does not come is UNREACHABLE, and the connection ends', async () => {
  const path = newPath();
  await using qemu = await fakeQmp(path);
  const clock = fakeClock('2026-01-01T00:00:00Z');
  await using link = await open(path, clock);
  const call = rejects(link.call(QMP.jobs), {
    code: 'UNREACHABLE',
    message: /"query-jobs" in time/,
  });
  await until('it is asked', () => qemu.heard.includes('query-jobs'));
  await clock.advance(61_000);
  await call;
  await until('it has ended', () => qemu.sockets.size === 0);
});

test('who gives up leaves its answer to nobody', async () => {
  const path = newPath();
  await using qemu = await fakeQmp(path);
  await using link = await open(path);
  const controller = new AbortController();
  const call = link.call(QMP.jobs, undefined, controller.signal);
  await until('it is asked', () => qemu.heard.includes('query-jobs'));
  controller.abort(new Error('enough'));
  await rejects(call, /enough/);
  const late = { return: [{ id: 'late', status: 'x' }], id: 2 };
  qemu.answers.set('query-block-exports', `${JSON.stringify(late)}\n{"return": [], "id": 3}\n`);
  deepEqual(await link.call(QMP.exports), []);
});

test('an agent is synchronized with: answers to those who were here before are dropped', async () => {
  const host = { directory, clock: systemClock() };
  const path = join(directory, 'web1.qga');
  await using agent = await fakeAgent(path, { left: '{"return": 5}\n{"error": {}}\n{"ret' });
  await using it = await openAgent(host, 'web1', endless());
  const options = { timeoutMs: 5000, signal: endless() };
  await it.call(AGENT.freeze, undefined, options);
  equal(agent.isFrozen, true);
  equal(await it.call(AGENT.system, undefined, options), 'debian');
});

test('an agent that is silent, or whose channel another program uses, is UNREACHABLE in time', async () => {
  const path = join(directory, 'web2.qga');
  await using agent = await fakeAgent(path);
  agent.setSilent(true);
  const clock = fakeClock('2026-01-01T00:00:00Z');
  const opening = openAgent({ directory, clock }, 'web2', endless());
  const failure = rejects(opening, (cause: Error) => {
    match(cause.message, /does not answer at .*web2\.qga: it does not run, or another program/);
    return true;
  });
  await until('it is asked', () => agent.heard > 0);
  await clock.advance(6000);
  await failure;
  ok(!agent.isFrozen);
});
