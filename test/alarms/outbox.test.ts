import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import { AlarmError } from '../../src/alarms/alarm-error.ts';
import { openOutbox } from '../../src/alarms/outbox.ts';
import {
  type AlarmNotice,
  messageFile,
  type MessageRecord,
} from '../../src/formats/store/service/alarm.ts';
import { SystemError } from '../../src/sys/base/system-error.ts';
import { putDurably } from '../../src/sys/files/write-atomically.ts';
import { type CrashingFs, crashingFs, onlyPowerCuts } from '../support/crashing-fs.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { seeded } from '../support/random.ts';
import { simulatedWorld } from '../support/store.ts';

const MINUTE = 60_000;

type Send = (message: MessageRecord) => Promise<void>;

function notice(message: string): AlarmNotice {
  return {
    ...{ event: 'raised', host: 'box', alarm: 'pool-space', kind: 'pool-space', level: 'warning' },
    ...{ message, time: '2026-11-21T12:00:00.000Z' },
  };
}

async function opened(home: CrashingFs, send: Send | undefined) {
  const clock = fakeClock('2026-11-21T12:00:00Z');
  const world = { ...simulatedWorld(home.files), clock };
  await world.files.makeDirectory('/store');
  await world.files.syncDirectory('/');
  const states: (string | undefined)[] = [];
  const troubles: string[] = [];
  const outbox = await openOutbox({
    ...{ world, directory: '/store/outbox/webhook' },
    sender: () => send && { send },
    onState: (reason) => void states.push(reason),
    onTrouble: (message) => void troubles.push(message),
  });
  return { outbox, clock, states, troubles };
}

const disk = (): CrashingFs => crashingFs(seeded(1));

test('what cannot be told now is told later and later, and works again by itself', async () => {
  const attempts: number[] = [];
  let isAway = true;
  const { outbox, clock, states } = await opened(disk(), async () => {
    attempts.push(clock.monotonicMs() / MINUTE);
    if (isAway) throw new SystemError('UNREACHABLE', 'away');
  });
  outbox.start();
  await outbox.put(notice('a'));
  await clock.advance(200 * MINUTE);
  deepEqual(attempts.splice(0), [0, 1, 6, 21, 81, 141]);
  deepEqual(states.splice(0), ['away', 'away', 'away', 'away'], 'only after a while');
  isAway = false;
  outbox.wake();
  await clock.advance(1);
  equal(attempts.length, 1);
  deepEqual(states, [undefined]);
  equal(outbox.size, 0);
  await outbox[Symbol.asyncDispose]();
});

test('a refused message, or one that is too old, is given up and reported', async () => {
  let failure: Error = new AlarmError('REFUSED', 'no such user');
  const { outbox, clock, troubles } = await opened(disk(), async () => {
    throw failure;
  });
  outbox.start();
  await outbox.put(notice('a'));
  await clock.advance(1);
  match(troubles.join(), /a notification was given up: a: no such user/);
  failure = new SystemError('FAILED', '500');
  await outbox.put(notice('b'));
  await clock.advance(71 * 60 * MINUTE);
  equal(outbox.size, 1);
  await clock.advance(3 * 60 * MINUTE);
  equal(outbox.size, 0);
  match(troubles.at(-1)!, /a notification was given up: b: 500/);
  await outbox[Symbol.asyncDispose]();
});

test('a clock that is set back holds no message back', async () => {
  const sent: string[] = [];
  let isAway = true;
  const { outbox, clock } = await opened(disk(), async (message) => {
    if (isAway) throw new SystemError('UNREACHABLE', 'away');
    sent.push(message.notice.message);
  });
  outbox.start();
  await outbox.put(notice('a'));
  await clock.advance(1);
  // The message is to be sent again a minute later by the old time: in a year and a minute by the new one.
  clock.turn(-365 * 24 * 60 * MINUTE);
  isAway = false;
  await clock.advance(2 * MINUTE);
  deepEqual(sent, ['a']);
  await outbox[Symbol.asyncDispose]();
});

test('messages go in order and are bounded; without a channel none is kept', async () => {
  const told: string[] = [];
  const { outbox, clock, troubles } = await opened(disk(), async (message) => {
    told.push(message.notice.message);
  });
  for (let n = 0; n < 503; n++) {
    await outbox.put(notice(String(n)));
    await clock.advance(1);
  }
  equal(outbox.size, 500);
  equal(troubles.length, 3);
  outbox.start();
  await clock.advance(1);
  deepEqual(
    told,
    Array.from({ length: 500 }, (_, n) => String(n + 3)),
  );
  const none = await opened(disk(), undefined);
  await none.outbox.put(notice('x'));
  none.outbox.start();
  await none.clock.advance(1);
  equal(none.outbox.size, 0);
  await outbox[Symbol.asyncDispose]();
  await none.outbox[Symbol.asyncDispose]();
});

test('a message under the name of another is not sent: then the file of that name would be removed', async () => {
  const home = disk();
  const told: string[] = [];
  const at = '2026-11-21T12:00:00.000Z';
  const message = { id: '../../precious', created: at, attempts: 0, notice: notice('a') };
  const files = [
    ['/store/outbox/webhook/forged.json', messageFile.encode(message as never, 'checked')],
    ['/store/precious.json', Buffer.from('{}')],
  ] as const;
  await home.files.makeDirectory('/store/outbox/webhook');
  for (const [path, bytes] of files) await putDurably(home.files, path, bytes);
  const { outbox, clock, troubles } = await opened(home, async ({ id }) => void told.push(id));
  outbox.start();
  await clock.advance(1);
  deepEqual(told, []);
  match(troubles[0]!, /forged\.json: it is the record of "\.\.\/\.\.\/precious"/);
  ok(await home.files.stat('/store/precious.json'));
  await outbox[Symbol.asyncDispose]();
});

test('a power cut at any call: what was put is told', async () => {
  const told: string[] = [];
  const send: Send = async (message) => void told.push(message.id);
  const work = async (fs: CrashingFs): Promise<boolean> => {
    const { outbox, clock } = await opened(fs, send);
    await outbox.put(notice('a'));
    outbox.start();
    await clock.advance(1);
    await outbox[Symbol.asyncDispose]();
    return true;
  };
  const whole = disk();
  await work(whole);
  ok(whole.calls() > 8);
  const counts = new Set<number>();
  for (let cut = 1; cut <= whole.calls() + 1; cut++) {
    for (let seed = 1; seed <= 10; seed++) {
      told.length = 0;
      const fs = crashingFs(seeded(seed), cut);
      let isPut = false;
      const before = await opened(fs, send).catch(onlyPowerCuts);
      if (before) {
        isPut = (await before.outbox.put(notice('a')).then(() => true, onlyPowerCuts)) === true;
      }
      const { outbox, clock } = await opened(fs.reboot(), send);
      outbox.start();
      await clock.advance(1);
      if (isPut) equal(told.length, 1, `cut ${cut}, seed ${seed}`);
      counts.add(told.length);
      equal(outbox.size, 0);
      await outbox[Symbol.asyncDispose]();
    }
  }
  deepEqual(
    [...counts].sort((a, b) => a - b),
    [0, 1],
  );
});
