import { equal, match } from 'node:assert/strict';
import { test } from 'tap';
import { openClockWatch } from '../../src/alarms/clock-watch.ts';
import { type CrashingFs, crashingFs } from '../support/crashing-fs.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { seeded } from '../support/random.ts';
import { simulatedWorld } from '../support/store.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

async function opened(home: CrashingFs, start = '2026-11-21T12:00:00Z') {
  const clock = fakeClock(start);
  await home.files.makeDirectory('/store');
  await home.files.syncDirectory('/');
  const troubles: string[] = [];
  const world = { ...simulatedWorld(home.files), clock };
  const watch = await openClockWatch(world, '/store', (it) => void troubles.push(it));
  return { clock, watch, troubles };
}

test('a damaged mark is reported by its name, and the clock is trusted as it is', async () => {
  const home = crashingFs(seeded(1));
  const { watch } = await opened(home);
  await watch.look();
  {
    await using file = await home.files.open('/store/clock.json', 'write');
    const at = new Uint8Array(1);
    await file.read(at, 60);
    await file.write(
      at.map((it) => it ^ 1),
      60,
    );
  }
  const again = await opened(home, '2036-11-21T12:00:00Z');
  match(again.troubles.join(), /\/store\/clock\.json: record/);
  equal(await again.watch.look(), undefined);
});

test('time that passes is no jump, however long, and small steps are what NTP makes', async () => {
  const { clock, watch } = await opened(crashingFs(seeded(1)));
  for (let day = 0; day < 400; day++) {
    equal(await watch.look(), undefined);
    await clock.advance(DAY);
    clock.turn(day % 2 === 0 ? 20_000 : -20_000);
  }
});

test('a clock that is set is found, also in many small steps, until it is trusted again', async () => {
  const { clock, watch } = await opened(crashingFs(seeded(1)));
  await watch.look();
  clock.turn(365 * DAY);
  match((await watch.look())!, /set 365 days ahead/);
  match((await watch.look())!, /set 365 days ahead/, 'until it is noted');
  await watch.trust();
  equal(await watch.look(), undefined);
  clock.turn(-2 * HOUR);
  match((await watch.look())!, /set 120 minutes back|set 2 hours back/);
  await watch.trust();
  let found: string | undefined;
  for (let step = 0; step < 13; step++) {
    equal(found, undefined, `step ${step}`);
    await clock.advance(10 * MINUTE);
    clock.turn(5 * MINUTE);
    found = await watch.look();
  }
  match(found!, /set 65 minutes ahead/);
});

test('what was set while no service ran is found at its next start', async () => {
  const home = crashingFs(seeded(1));
  const { watch } = await opened(home);
  await watch.look();
  // The same run of the kernel: the fake machine says at each opening that it has just started.
  match((await (await opened(home, '2026-11-22T12:00:00Z')).watch.look())!, /set 24 hours ahead/);
});

test('after another start of the machine its last known time counts', async () => {
  const later = async (start: string): Promise<string | undefined> => {
    const home = crashingFs(seeded(1));
    const { clock, watch } = await opened(home);
    await watch.look();
    await clock.advance(5 * HOUR);
    await watch.look();
    const { watch: again } = await opened(home.reboot(), start);
    const found = await again.look();
    if (found !== undefined) await again.trust();
    equal(await again.look(), undefined);
    return found;
  };
  equal(await later('2026-11-21T17:00:30Z'), undefined);
  equal(await later('2026-11-21T16:55:00Z'), undefined, 'runs late a little');
  equal(await later('2026-11-27T17:00:00Z'), undefined, 'was off for a week');
  match((await later('2026-11-21T12:30:00Z'))!, /5 hours behind|4 hours behind/);
  match((await later('2027-11-21T12:00:00Z'))!, /365 days after it was last seen/);
  match((await later('1970-01-01T00:00:10Z'))!, /days behind/);
});
