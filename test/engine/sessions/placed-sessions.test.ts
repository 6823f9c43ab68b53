import { deepEqual, match, rejects } from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { type PlacedHome, placedHome, RUN } from '../../support/placed-service.ts';
import { until } from '../../support/until.ts';

const names = ({ host }: PlacedHome): readonly string[] =>
  [...host.machines.values()].map(({ name }) => name).sort();
const leftHere = ({ store }: PlacedHome): readonly string[] => [
  ...readdirSync(join(store, 'sessions')),
  ...readdirSync(join(store, 'leases')).filter((name) => name !== 'lock'),
];

test('a machine runs on its hypervisor, is shown, and discarding puts the old one back', async () => {
  const home = await placedHome();
  await using service = await home.service();
  const { ask, options } = service;
  const { session, state, waits, machine } = await ask['session/run'](
    { ...RUN, point: home.point },
    options,
  );
  deepEqual([state, waits, machine], ['running', null, 'web1']);
  deepEqual(names(home), ['web1', 'web1 (replaced)']);
  await until('it was looked at', async () => {
    const { placed } = await ask['session/show']({ session }, options);
    return placed?.disks.every(({ place }) => place === 'ours') === true;
  });
  const shown = await ask['session/show']({ session }, options);
  deepEqual(
    [shown.state, shown.placed?.hypervisor, shown.placed?.power],
    ['running', 'kvm1', 'on'],
  );
  await rejects(ask['session/stop']({ session }, options), /its machine on kvm1 needs the disks/);
  const gone = await ask['session/discard']({ session, stop: undefined }, options);
  deepEqual(gone, { session, discarded: true, waits: null });
  deepEqual(names(home), ['web1']);
  deepEqual([await home.rig.sessionTraces(), await home.rig.poolDisks()], [[], []]);
  deepEqual(leftHere(home), []);
  match(service.log.join('\n'), /placing -> running[^]*running -> withdrawing[^]*ended/);
});
