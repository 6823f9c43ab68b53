import { deepEqual, equal, match, ok } from 'node:assert/strict';
import type { PlacedPhase } from '../../../src/formats/store/sessions/session.ts';
import type { PlacedEvent } from '../../../src/sessions/placed/placed-state.ts';
import { collectDebt } from '../../../src/sessions/placed/debts.ts';
import { SessionError } from '../../../src/sessions/state/session-error.ts';
import { runOf } from '../../hypervisors/running.ts';
import { noise } from '../../support/random.ts';
import {
  contentsHere,
  Crash,
  type CrashAt,
  type Life,
  machineIn,
  newLife,
  newPlace,
  type Place,
  placementIn,
  recordOf,
  rest,
  step,
  usersOf,
} from './rig.ts';

/*
 * One case: a session is brought to a phase, the hypervisor changes its mind, something is asked for, and the process
 * dies before or after one of its effects. Another process finds the journal, and the session is ended; whatever that
 * came to, the promises hold.
 */

export interface Case {
  readonly phase: PlacedPhase;
  readonly event: PlacedEvent;
  readonly says: Says;
  readonly crashAt: CrashAt | undefined;
  /** Its disks move while it is off. */
  readonly isOffline?: boolean;
}

export const SAYS = ['as it was', 'gone', 'partly', 'moved', 'away'] as const;
type Says = (typeof SAYS)[number];

/** Carries a new session so far. */
export async function broughtTo(phase: PlacedPhase, isOffline = false): Promise<Place> {
  const place = await newPlace();
  const life = newLife(place);
  const isThere = (): boolean => recordOf(place).phase === phase;
  async function until(wanted: () => boolean): Promise<void> {
    for (let n = 0; !wanted(); n++) {
      ok(n < 60, `it never is ${phase}: ${place.log.join('\n')}`);
      await step(life);
    }
  }
  if (isThere()) return place;
  await until(() => isThere() || recordOf(place).phase === 'running');
  if (isThere()) return place;
  await writeAsGuest(place, 1);
  if (phase === 'withdrawing' || phase === 'keeping') {
    await life.session.ask({ kind: 'keep', as: 'p1', stop: 'off' });
  } else {
    await life.session.ask({ kind: 'move', ...(isOffline && { offline: OFFLINE }) });
  }
  await until(isThere);
  return place;
}

/** As a person asks for it, while the machine runs. */
const OFFLINE = { start: true, stop: 'off' } as const;

/** A write that the guest saw acknowledged is in what `acknowledged` returns from then on. */
const written = new WeakMap<Place, Record<string, Uint8Array>>();

export async function writeAsGuest(place: Place, seed: number): Promise<void> {
  const machine = machineIn(place);
  if (machine?.power !== 'on' || machine.hasIoError) return;
  const guest = await place.rig.made(machine.id);
  for (const disk of ['vda', 'vdb']) await guest.write(disk, 4096 * seed, noise(512, seed));
  if (machine.hasIoError) return;
  written.set(place, { vda: await guest.contents('vda'), vdb: await guest.contents('vdb') });
}

export async function say(place: Place, says: Says): Promise<void> {
  const machine = machineIn(place);
  switch (says) {
    case 'as it was':
      return;
    case 'away':
      return place.rig.setUp(false);
    case 'gone':
      if (machine) place.host.machines.delete(machine.id);
      return;
    case 'moved':
      if (!machine) return;
      for (const name of machine.disks.keys())
        await (await place.rig.made(machine.id)).moveElsewhere(name);
      return;
    case 'partly': {
      const { reserved } = placementIn(place).disks[0]!;
      const disk = machine?.disks.get('vda');
      const volume = reserved === undefined ? undefined : place.host.volumes.get(reserved);
      if (!disk || !volume) return;
      const all = new Uint8Array(disk.bytes.size);
      disk.bytes.read(all, 0);
      volume.bytes.write(all, 0);
      Object.assign(disk, { bytes: volume.bytes, layers: [reserved], copy: undefined });
      return;
    }
  }
}

export async function raise(place: Place, life: Life, event: PlacedEvent): Promise<void> {
  const { session } = life;
  switch (event) {
    case 'done':
      return void (await step(life));
    case 'undone': {
      place.refusal = 'it is damaged';
      const machine = machineIn(place);
      for (const disk of machine?.disks.values() ?? []) {
        if (disk.copy) Object.assign(disk, { copy: undefined, copyFailure: 'it ended' });
      }
      return void (await step(life));
    }
    case 'discard':
      return session.ask({ kind: 'discard', stop: 'off' });
    case 'keep':
      return session.ask({ kind: 'keep', as: 'p1', stop: 'off' });
    case 'abandon':
      return session.ask({ kind: 'abandon', name: placementIn(place).plan.name });
    case 'power':
      return session.power('off');
    case 'move-offline':
      return session.ask({ kind: 'move', offline: OFFLINE });
    case 'move':
    case 'cancel-move':
    case 'retry':
      return session.ask({ kind: event });
  }
}

/** Whether the work came to its end; refusals and what the hypervisor says are answers too. */
export async function survives(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (cause) {
    if (cause instanceof Crash) return false;
    if (cause instanceof SessionError && cause.code === 'IMPOSSIBLE') return true;
    if (cause instanceof SessionError && cause.code === 'NOT_FOUND') return true;
    if (cause instanceof Error && cause.name === 'HypervisorError') return true;
    throw cause;
  }
}

/** Returns how many effects the first process had. */
export async function judge(it: Case): Promise<number> {
  const { phase, event, says, crashAt, isOffline } = it;
  const place = await broughtTo(phase, isOffline);
  await say(place, says);
  const first = newLife(place, crashAt);
  await survives(async () => {
    await raise(place, first, event);
    await rest(place, first);
  });
  const { length } = first.effects;
  let life = newLife(place);
  if (says === 'away') {
    if (!place.isCleaned) await waitsForHost(place, life);
    await place.rig.setUp(true);
    await survives(() => life.session.ask({ kind: 'retry' }));
    life = newLife(place);
  }
  await end(place, life);
  return length;
}

async function waitsForHost(place: Place, life: Life): Promise<void> {
  const came = await rest(place, life);
  if (came === 'over') return;
  const { waits } = placementIn(place);
  ok(waits, 'it waits');
  if (waits.reason === 'person') return;
  equal(waits.reason, 'away');
  match(waits.since, /^2026-11-30T/);
  ok(place.areExportsUp, 'exports serve on');
}

/** People end what is left, in every way that there is. */
export async function end(place: Place, life: Life): Promise<void> {
  place.refusal = undefined;
  if ((await rest(place, life)) === 'waits') {
    await writeAsGuest(place, 2);
    const isMoving = placementIn(place).disks.some(({ pivoted }) => pivoted);
    if (isMoving && machineIn(place)) await life.session.power('on').catch(() => undefined);
    await survives(() => life.session.ask({ kind: 'retry' }));
    await survives(() => life.session.ask({ kind: 'discard', stop: 'off' }));
    await rest(place, life);
  }
  if (!place.isCleaned && recordOf(place).phase !== 'ready') {
    await giveUp(place, life);
    return;
  }
  await judgeEnd(place);
}

async function giveUp(place: Place, life: Life): Promise<void> {
  const { waits, plan } = placementIn(place);
  ok(waits, `it is ${recordOf(place).phase} and waits for nothing`);
  const isUsed = usersOf(place).length > 0;
  await life.session.ask({ kind: 'abandon', name: plan.name });
  equal(await rest(place, life), 'over');
  const debt = place.debts.get(recordOf(place).id)!;
  await using host = await place.rig.connect();
  const { signal } = new AbortController();
  const isCollected = await survives(() => collectDebt(runOf(host), debt, signal));
  ok(isCollected);
  if (isUsed) ok(place.debts.size > 0);
}

async function judgeEnd(place: Place): Promise<void> {
  const { phase, keepAs } = recordOf(place);
  const machine = machineIn(place);
  const acknowledged = written.get(place);
  const names = [...place.host.machines.values()].map(({ name }) => name);
  if (place.debts.size > 0) return;
  const hasMoved = placementIn(place).disks.some(({ pivoted }) => pivoted);
  const traces = await place.rig.sessionTraces();
  // Where it had moved, its disks are the only copy of what it wrote, wherever it is by now.
  const left = hasMoved ? traces.filter((it) => !it.startsWith('volume ')) : traces;
  deepEqual(left, [], "nothing has the session's mark");
  equal(usersOf(place).length, 0);
  if (machine) {
    // It stays there, with all that its guest was told is written; the old one has made room for it.
    ok(place.phases.includes('settling'));
    ok(machine.autostart);
    const guest = await place.rig.made(machine.id);
    const there = { vda: await guest.contents('vda'), vdb: await guest.contents('vdb') };
    if (acknowledged) deepEqual(there, acknowledged);
    deepEqual(names.sort(), [
      placementIn(place).plan.name,
      `${placementIn(place).plan.name} (replaced)`,
    ]);
    return;
  }
  // It had moved, and was removed there as any other.
  if (place.phases.includes('leaving')) return;
  deepEqual(names, [placementIn(place).plan.name], 'the old machine has its name again');
  if (keepAs === undefined && phase !== 'ready') return;
  const here = keepAs === undefined ? await contentsHere(place) : place.kept.get(keepAs);
  if (acknowledged && !hasMoved) deepEqual(here, acknowledged);
}
