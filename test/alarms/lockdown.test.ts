import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { openLockdown } from '../../src/alarms/lockdown.ts';
import { type CrashingFs, crashingFs } from '../support/crashing-fs.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { seeded } from '../support/random.ts';
import { simulatedWorld } from '../support/store.ts';

const HOUR = 60 * 60_000;
const ANN = 1000;
const BOB = 1001;

async function opened(home: CrashingFs, start = '2026-11-21T12:00:00Z') {
  const clock = fakeClock(start);
  await home.files.makeDirectory('/store');
  await home.files.syncDirectory('/');
  const world = { ...simulatedWorld(home.files), clock };
  const troubles: string[] = [];
  await home.files.makeDirectory('/box');
  await home.files.syncDirectory('/');
  const places = { directory: '/box', store: '/store', checks: () => 'checked' as const };
  const lockdown = await openLockdown(world, places, (message) => void troubles.push(message));
  return { clock, lockdown, troubles };
}

test('one person begins and ends it', async () => {
  const { lockdown } = await opened(crashingFs(seeded(1)));
  equal(lockdown.state(), undefined);
  await rejects(lockdown.end(ANN), { code: 'IMPOSSIBLE' });
  equal((await lockdown.begin(ANN, 1)).uid, ANN);
  await rejects(lockdown.begin(BOB, 1), { code: 'IMPOSSIBLE' });
  equal(await lockdown.end(BOB), undefined);
  equal(lockdown.state(), undefined);
});

test('where two have to agree, one alone cannot, however often and after whatever restart', async () => {
  let home = crashingFs(seeded(1));
  const { lockdown } = await opened(home);
  await lockdown.begin(ANN, 2);
  for (let time = 0; time < 3; time++) {
    deepEqual(
      (await lockdown.end(ANN))?.approvals.map(({ uid }) => uid),
      [ANN],
    );
  }
  home = home.reboot();
  const again = await opened(home, '2026-11-21T12:30:00Z');
  equal((await again.lockdown.end(ANN))?.approvals.length, 1);
  await again.clock.advance(HOUR + 1);
  const late = await again.lockdown.end(BOB);
  deepEqual(
    late?.approvals.map(({ uid }) => uid),
    [BOB],
    'an hour ago does not count',
  );
  equal(await again.lockdown.end(ANN), undefined);
  equal((await opened(home.reboot())).lockdown.state(), undefined);
});

test('a clock that is set back makes no agreement last', async () => {
  const { lockdown, clock } = await opened(crashingFs(seeded(1)));
  await lockdown.begin(ANN, 2);
  await lockdown.end(ANN);
  clock.turn(-2 * HOUR);
  deepEqual(
    (await lockdown.end(BOB))?.approvals.map(({ uid }) => uid),
    [BOB],
  );
});

test('a record that cannot be read is no end of it', async () => {
  const home = crashingFs(seeded(1));
  const { lockdown } = await opened(home);
  await lockdown.begin(ANN, 1);
  await using file = await home.files.open('/box/lockdown.json', 'write');
  await file.truncate(20);
  const again = await opened(home);
  equal(again.lockdown.state()?.persons, 1);
  match(again.troubles.join(), /lockdown\.json/);
  equal(await again.lockdown.end(BOB), undefined);
  equal((await opened(home)).lockdown.state(), undefined);
});
