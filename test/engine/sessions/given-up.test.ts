import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openAlarmBook } from '../../../src/alarms/alarm-book.ts';
import { acknowledge } from '../../../src/engine/operations/alarms.ts';
import { owedThere } from '../../../src/engine/watch/alarm-rules.ts';
import type { AlarmRecord } from '../../../src/formats/store/service/alarm.ts';
import { decodeDebt, encodeDebt } from '../../../src/formats/store/sessions/debt.ts';
import {
  filesIn,
  type PlacedHome,
  placedHome,
  type PlacedService,
  RUN,
} from '../../support/placed-service.ts';
import { until } from '../../support/until.ts';

const names = ({ host }: PlacedHome): readonly string[] =>
  [...host.machines.values()].map(({ name }) => name).sort();

const debtsOf = (home: PlacedHome): readonly string[] =>
  existsSync(join(home.store, 'debts')) ? filesIn(home, 'debts') : [];

async function run(home: PlacedHome, { ask, options }: PlacedService): Promise<string> {
  const { sessions } = await ask['session/run']({ ...RUN, points: [home.point] }, options);
  return sessions[0]!.session;
}

/** A session whose machine runs, and whose journal was damaged while no service ran. */
async function damagedSession(home: PlacedHome): Promise<string> {
  await using service = await home.service();
  const session = await run(home, service);
  await service[Symbol.asyncDispose]();
  writeFileSync(join(home.store, 'sessions', session, 'session.json'), 'damaged');
  return session;
}

async function discarded(home: PlacedHome, session: string): Promise<readonly string[]> {
  await using service = await home.service();
  const said: string[] = [];
  const report: typeof service.options.report = (event) => {
    if (event.event === 'notice') said.push(event.message);
  };
  const options = { ...service.options, report };
  await service.ask['session/discard']({ session, stop: undefined }, options);
  deepEqual(filesIn(home, 'sessions'), []);
  await until('all is collected', () => debtsOf(home).length === 0);
  return said;
}

test('a session whose journal is damaged owes its machine once it is discarded', async () => {
  const home = await placedHome();
  const session = await damagedSession(home);
  deepEqual(names(home), ['web1', 'web1 (replaced)']);
  const said = await discarded(home, session);
  match(said.join(), /its machine on hypervisor kvm1 \(UUID .*\) is removed there once/);
  deepEqual(names(home), ['web1']);
  deepEqual(await home.rig.poolDisks(), []);
  deepEqual(await home.rig.sessionTraces(), []);
});

test('where nothing says which machine it has, it is said what may be left, and how to find it', async () => {
  const wheres = ['each of "holdfast hypervisor list"', 'that hypervisor'];
  for (const [at, where] of wheres.entries()) {
    const home = await placedHome();
    const session = await damagedSession(home);
    const path = join(home.store, 'sessions', session, 'debt.json');
    if (at === 0) rmSync(path);
    // This box did not write that.
    else writeFileSync(path, encodeDebt({ ...decodeDebt(readFileSync(path)), aside: 'db1' }));
    const said = (await discarded(home, session)).join();
    match(said, new RegExp(`Look for it on ${where}.*session="${session}"`));
    deepEqual(names(home), ['web1', 'web1 (replaced)']);
  }
});

test('a session is kept although its hypervisor is away, once it is abandoned', async () => {
  const home = await placedHome();
  await using service = await home.service();
  const { ask, options } = service;
  const session = await run(home, service);
  await home.rig.setUp(false);
  const kept = ask['session/keep']({ session, stop: 'off' }, options);
  await rejects(kept, /will be kept as soon as it no longer waits: .*does not answer/);
  const { placed } = await ask['session/show']({ session }, options);
  deepEqual([placed?.goal, placed?.waits?.reason], ['keep', 'away']);
  await ask['session/abandon']({ session, name: 'web1' }, options);
  await until(
    'it is kept',
    () => filesIn(home, 'sessions').length === 0,
    () => service.log.join('\n'),
  );
  match(service.log.join('\n'), /-> keeping/);
  const asked = { set: undefined, machine: undefined, run: undefined };
  const { points } = await ask['backup/list'](asked, options);
  equal(points.filter(({ origin }) => origin === 'session').length, 1);
  deepEqual(names(home), ['web1', 'web1 (replaced)']);
  await home.rig.setUp(true);
  await until('it is collected', () => filesIn(home, 'debts').length === 0);
  deepEqual(names(home), ['web1']);
  deepEqual(await home.rig.sessionTraces(), []);
});

test('what cannot be removed raises an alarm with advice, and stays once that is acknowledged', async () => {
  const home = await placedHome();
  await using service = await home.service();
  const { ask, options, sessions, engine } = service;
  const session = await run(home, service);
  const { machine } = sessions.placed.of(session)!.record.placement!;
  await home.rig.setUp(false);
  await ask['session/discard']({ session, stop: undefined }, options);
  await ask['session/abandon']({ session, name: 'web1' }, options);
  await until('it is over', () => filesIn(home, 'sessions').length === 0);
  await home.rig.setUp(true);
  await (await home.rig.made(machine!)).moveElsewhere('vda');
  const owed = () => sessions.placed.owed();
  await until('it was tried', () => owed()[0]?.needsPerson === true);
  const alarms = await openAlarmBook({
    ...{ world: engine.store, directory: home.store, checks: engine.store.checks },
    ...{ onNews: async () => {}, onTrouble: () => {} },
  });
  const compare = () => alarms.compare(['session-left'], owedThere({ owed: owed() }));
  await compare();
  const [{ id, message }] = alarms.list() as [AlarmRecord];
  equal(id, `session-left:${session}`);
  match(message, /disks of machine web1 \(vda\) have moved .* Copy these disks there/);
  match(message, new RegExp(`"holdfast alarm acknowledge ${id}"`));
  const monitor = { alarms, persons: () => 1, agree: () => true };
  await acknowledge({ monitor, sessions }, id, undefined);
  deepEqual([owed(), filesIn(home, 'debts')], [[], []]);
  await compare();
  ok(alarms.list().every(({ ended }) => ended !== undefined));
  deepEqual(names(home), ['web1', 'web1 (replaced)']);
});
