import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { MIGRATE, placedHome, type PlacedService, RUN } from '../../support/placed-service.ts';
import { until } from '../../support/until.ts';

test('a machine that is off moves once it was said for how long, also where the service ends in between', async () => {
  const home = await placedHome();
  const copied = Promise.withResolvers<void>();
  {
    await using service = await home.service();
    const { ask, options, sessions } = service;
    const { sessions: made } = await ask['session/run']({ ...RUN, points: [home.point] }, options);
    const { session } = made[0]!;
    const migrate = (more: Partial<typeof MIGRATE>) =>
      ask['session/migrate']({ ...MIGRATE, ...more, session }, options);
    await until('it is seen to run', () => isPower(sessions, session, 'on'));
    for (const idle of [{ stop: 'off' as const }, { start: true }, { confirmed: true }]) {
      await rejects(migrate(idle), /--stop, --start and --yes go with --offline/);
    }
    for (const idle of [{ offline: true }, { pool: 'fast' }, { start: true }]) {
      await rejects(migrate({ cancel: true, ...idle }), /--cancel goes with no other option/);
    }
    const told = await migrate({ offline: true });
    deepEqual(
      [told.state, told.downtime?.power, told.downtime?.measured],
      ['running', 'on', false],
    );
    await rejects(
      migrate({ offline: true, confirmed: true }),
      /not off: let its guest shut down first/,
    );
    await ask['session/power']({ session, power: 'shutdown' }, options);
    await until('it is seen to be off', () => isPower(sessions, session, 'off'));
    await rejects(migrate({}), /its machine is off: start it .*"session migrate .* --offline"/);
    const { bytes, seconds, rate } = (await migrate({ offline: true })).downtime!;
    ok(bytes > 0 && seconds === Math.ceil(bytes / rate));
    deepEqual(await home.rig.poolDisks(), [], 'it was only asked');
    home.mishap = (name) => void (name === 'flush' && copied.resolve());
    const begun = await migrate({ offline: true, start: true, confirmed: true });
    deepEqual([begun.state, begun.downtime], ['copying', null]);
    await copied.promise;
  }
  await using _service = await home.service();
  await until('the session is gone', () => readdirSync(join(home.store, 'sessions')).length === 0);
  const named = (name: string) => [...home.host.machines.values()].find((it) => it.name === name)!;
  equal(named('web1').power, 'on');
  const moved = await home.rig.made(named('web1').id);
  const backedUp = await home.rig.made(named('web1 (replaced)').id);
  for (const disk of ['vda', 'vdb']) {
    deepEqual(await moved.contents(disk), await backedUp.contents(disk));
  }
  deepEqual(await home.rig.sessionTraces(), []);
});

function isPower({ placed }: PlacedService['sessions'], session: string, power: string): boolean {
  const look = placed.of(session)?.look();
  return look?.isThere === true && look.power === power;
}
