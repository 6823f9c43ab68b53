import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { openQmpLink } from '../../../src/hypervisors/qmp/link.ts';
import type { QmpHost } from '../../../src/hypervisors/qmp/qmp-host.ts';
import { frozenMark, thawLeft, whileQuiet } from '../../../src/hypervisors/qmp/quiet-guest.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import { realFileSystem } from '../../../src/sys/files/real-file-system.ts';
import { fakeAgent } from '../../support/fake-agent.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { fakeQmp } from '../../support/fake-qmp.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { until } from '../../support/until.ts';
import { endless } from '../taking.ts';

const WISH = { consistency: 'file-system', fallBack: true } as const;

/** A machine "web1" whose QEMU knows of marks, and whose agent answers. */
async function quietPlace(clock = systemClock()) {
  const directory = temporaryDirectory();
  const path = join(directory, 'web1.qmp');
  const stack = new AsyncDisposableStack();
  const qemu = stack.use(await fakeQmp(path));
  for (const name of ['blockdev-add', 'blockdev-del']) qemu.answers.set(name, {});
  const agent = stack.use(await fakeAgent(join(directory, 'web1.qga')));
  const link = stack.use(await openQmpLink(path, { clock: systemClock(), signal: endless() }));
  const unused = { name: 'lab', scratch: undefined, seen: new Map<string, string>() };
  const host: QmpHost = {
    ...{ ...unused, owner: 'abc', directory, sockets: directory },
    ...{ clock, files: realFileSystem() },
  };
  const notices: string[] = [];
  const machine = { name: 'web1', link };
  const guest = {
    ...{ machine, wish: WISH, signal: endless() },
    onNotice: (message: string) => void notices.push(message),
  };
  const marks = () => qemu.heard.filter((it) => it.startsWith('blockdev-'));
  return {
    qemu,
    agent,
    host,
    guest,
    notices,
    marks,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

test('a guest is frozen for the moment of its backup, under a mark', async () => {
  await using place = await quietPlace();
  const { host, guest, agent, marks, notices } = place;
  const { result, consistency } = await whileQuiet(host, guest, async () => agent.isFrozen);
  equal(result, true);
  equal(agent.isFrozen, false);
  deepEqual(consistency, { asked: 'file-system', got: 'file-system' });
  deepEqual(marks(), ['blockdev-add', 'blockdev-del']);
  deepEqual(notices, []);
});

test('a freeze that ended before the backup had begun is no freeze', async () => {
  await using place = await quietPlace();
  const { host, guest, agent, notices } = place;
  const work = async () => agent.thawItself();
  const { consistency } = await whileQuiet(host, guest, work);
  equal(consistency.got, 'crash');
  match(notices[0]!, /no longer frozen when the backup had begun; .* as after a power cut/);
  const strict = { ...guest, wish: { ...WISH, fallBack: false } };
  await rejects(whileQuiet(host, strict, work), {
    code: 'UNSUPPORTED',
    message: /no longer frozen/,
  });
});

test('a QEMU that does not begin in time is given up, and the guest runs on', async () => {
  const clock = fakeClock('2026-11-30T00:00:00Z');
  await using place = await quietPlace(clock);
  const { host, guest, agent, marks } = place;
  const hanging = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  const backup = whileQuiet(host, guest, hanging);
  const late = rejects(backup, { code: 'BUSY', message: /within the 15 seconds/ });
  await until('it is frozen', () => agent.isFrozen);
  await clock.advance(14_000);
  ok(agent.isFrozen);
  await clock.advance(2000);
  await late;
  equal(agent.isFrozen, false);
  deepEqual(marks(), ['blockdev-add', 'blockdev-del']);
});

test('an agent that is away keeps no machine from being backed up, and the mark of its freeze stays', async () => {
  await using place = await quietPlace();
  const { host, guest, agent, qemu, marks } = place;
  qemu.answers.set('query-named-block-nodes', [
    { 'node-name': frozenMark(host), drv: 'null-co', ro: false, image: { 'virtual-size': 0 } },
  ]);
  await agent[Symbol.asyncDispose]();
  match((await thawLeft(host, guest.machine, endless()))!, /^the guest may still be frozen/);
  deepEqual(marks(), []);
  await using back = await fakeAgent(join(host.directory, 'web1.qga'));
  equal(await thawLeft(host, guest.machine, endless()), undefined, 'it was not frozen');
  equal(back.isFrozen, false);
  deepEqual(marks(), ['blockdev-del']);
});
