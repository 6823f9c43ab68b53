import { ok } from 'node:assert/strict';
import type { BlockDevice } from '../../../src/block/block-device.ts';
import { readLayer } from '../../../src/block/layer.ts';
import type { PlacedDebt } from '../../../src/formats/store/sessions/debt.ts';
import type {
  MoveWhen,
  Placement,
  WritesTo,
} from '../../../src/formats/store/sessions/placement.ts';
import {
  decodeSession,
  encodeSession,
  type SessionRecord,
} from '../../../src/formats/store/sessions/session.ts';
import type { RunPlan } from '../../../src/hypervisors/base/run-driver.ts';
import { type PlacedSession, placedSession } from '../../../src/sessions/placed/placed-session.ts';
import type { Pause, PlacedWorld } from '../../../src/sessions/placed/placed-world.ts';
import type { Steps } from '../../../src/sessions/state/session-executor.ts';
import { next, type SessionEvent, stepOf } from '../../../src/sessions/state/session-state.ts';
import { type Prepared, prepare, runOf } from '../../hypervisors/running.ts';
import type { Mishap } from '../../hypervisors/rig.ts';
import { type FakeClock, fakeClock } from '../../support/fake-clock.ts';
import { fakeRunHost } from '../../support/fake-hypervisor/fake-run-host.ts';
import type { FakeHost, FakeMachine } from '../../support/fake-hypervisor/host.ts';
import { placedRecord } from '../../support/placed-session.ts';

/** Nothing more happens in this process. */
export class Crash extends Error {
  override readonly name = 'Crash';
}

export interface CrashAt {
  /** The effect, from 1: a call of the hypervisor, a change of the journal, work here. */
  readonly count: number;
  readonly when: 'before' | 'after';
}

/** What outlives a process: the hypervisor, the journal, what the guest wrote here. */
export interface Place {
  readonly clock: FakeClock;
  /** Journals of other sessions. */
  readonly others: Map<string, SessionRecord>;
  readonly rig: ReturnType<typeof fakeRunHost>;
  readonly host: FakeHost;
  readonly prepared: Prepared;
  journal: Uint8Array;
  isCleaned: boolean;
  areExportsUp: boolean;
  readonly kept: Map<string, Record<string, Uint8Array>>;
  readonly debts: Map<string, PlacedDebt>;
  /** Why a recovery point cannot be published. */
  refusal: string | undefined;
  /** A guest's write that waits here for space. */
  held: Promise<void> | undefined;
  readonly log: string[];
  /** Each phase that the journal had. */
  readonly phases: string[];
}

export interface Life {
  readonly session: PlacedSession;
  /** The next step: of the placed session, or of the ordinary one that it has become. */
  step(): ReturnType<PlacedSession['step']>;
  /** Names of its effects so far. */
  readonly effects: readonly string[];
}

export async function newPlace(
  more: Partial<Placement> = {},
  moves: MoveWhen = { kind: 'after', seconds: 86_400 },
  writes: WritesTo = 'here',
): Promise<Place> {
  const rig = fakeRunHost();
  const { host } = rig as unknown as { host: FakeHost };
  const prepared = await prepare(rig, placedRecord('preparing').id, writes);
  const { plan, old } = prepared;
  const { placement: initial, ...record } = placedRecord('preparing');
  const placement: Placement = {
    ...initial,
    plan: {
      ...{ name: plan.name, uuid: plan.uuid, networks: plan.networks, autostart: true },
      ...{ moves, writes: plan.writes },
      ...{ powerOn: true, replaces: { machine: old.id, afterwards: 'keep' } },
    },
    pool: plan.pool,
    disks: plan.disks.map(({ name }) => ({
      ...{ name, shown: undefined, reserved: undefined, place: undefined, pivoted: false },
    })),
    ...more,
  };
  const disks = plan.disks.map(({ name, size }) => ({ name, size }));
  return {
    clock: fakeClock('2026-11-30T08:00:00.000Z'),
    ...{ rig, host, prepared, journal: encodeSession({ ...record, disks, placement }) },
    ...{ isCleaned: false, areExportsUp: true, kept: new Map(), debts: new Map() },
    others: new Map(),
    ...{ refusal: undefined, held: undefined, log: [], phases: ['preparing'] },
  };
}

const decoded = new WeakMap<Uint8Array, SessionRecord>();

export function recordOf({ journal }: Place): SessionRecord {
  const known = decoded.get(journal) ?? decodeSession(journal);
  decoded.set(journal, known);
  return known;
}

export function placementIn(place: Place): Placement {
  return recordOf(place).placement!;
}

/** A process that serves the session and carries it on. */
export function newLife(
  place: Place,
  crashAt?: CrashAt,
  mishapAt?: (count: number, name: string) => Mishap | undefined,
): Life {
  const effects: string[] = [];
  let isDead = false;
  if (!place.isCleaned) void place.prepared.served.setUp(isServing(place));
  const { phase, placement } = recordOf(place);
  setFence(place, phase === 'pivoting' && placement?.offline !== undefined);
  function die(): Crash {
    isDead = true;
    return new Crash(effects.at(-1));
  }
  async function effect<T>(name: string, work: () => Promise<T>): Promise<T> {
    if (isDead) throw new Crash('dead');
    effects.push(name);
    const isHit = effects.length === crashAt?.count;
    if (isHit && crashAt.when === 'before') throw die();
    const result = await work();
    if (isHit) throw die();
    return result;
  }
  function onCall(name: string): Mishap | undefined {
    if (isDead) throw new Crash('dead');
    effects.push(name);
    const mishap = mishapAt?.(effects.length, name);
    if (effects.length !== crashAt?.count) return mishap;
    if (crashAt.when === 'before') throw die();
    isDead = true;
    return 'cut-after';
  }
  const world: PlacedWorld = {
    clock: place.clock,
    journal: {
      get record() {
        return recordOf(place);
      },
      change: (step) =>
        effect('journal', async () => {
          const after = step(recordOf(place));
          place.journal = encodeSession(after);
          if (place.phases.at(-1) !== after.phase) place.phases.push(after.phase);
        }),
    },
    driver: async () => runOf(await place.rig.connect({ onCall })),
    openReserved: async (disk, signal) =>
      (await place.rig.connect({ onCall })).restore!.open(disk, signal),
    other: async (session) => place.others.get(session),
    plan: async (record) => planOf(place, record),
    lost: async () => {},
    own: {
      endExports: () =>
        effect('end exports', async () => {
          place.areExportsUp = false;
          await place.prepared.served.setUp(false);
        }),
      disk: (name) => diskHere(place, name),
      async setFence(isUp) {
        setFence(place, isUp);
        if (isUp) await place.held;
      },
      owe: (debt) => effect('owe', async () => void place.debts.set(debt.session, debt)),
    },
    shown: { log: (message) => void place.log.push(message), look() {}, wrote() {}, moves() {} },
  };
  const session = placedSession(world);
  /** As ordinary sessions go on: with nothing on the hypervisor. */
  async function ownStep(): Promise<Pause> {
    const { id, keepAs } = recordOf(place);
    const steps: Steps = {
      prepare: () => effect('prepare', async () => {}),
      publish: () =>
        effect('publish', async () => {
          ok(keepAs);
          ok(!place.areExportsUp, 'nothing writes while it is published');
          if (place.refusal === undefined) place.kept.set(keepAs, await contentsHere(place));
          else throw new Error(place.refusal);
        }),
      clean: () =>
        effect('clean', async () => {
          ok(place.debts.has(id) || usersOf(place).length === 0, 'a machine uses the overlays');
          place.isCleaned = true;
        }),
    };
    const event = await ownEvent(recordOf(place), steps);
    if (!event) return { kind: 'over' };
    const after = next(recordOf(place), event);
    if (!after) return { kind: 'over' };
    await world.journal.change(() => after);
    return after.phase === 'ready' ? { kind: 'over' } : { kind: 'later', ms: 0 };
  }
  return {
    session,
    effects,
    async step() {
      if (isDead) throw new Crash('dead');
      const pause = await session.step(endless);
      return pause.kind === 'over' ? ownStep() : pause;
    },
  };
}

async function ownEvent(record: SessionRecord, steps: Steps): Promise<SessionEvent | undefined> {
  const step = stepOf(record);
  if (!step) return undefined;
  try {
    await steps[step](record);
    return { kind: 'done' };
  } catch (cause) {
    if (cause instanceof Crash || step !== 'publish') throw cause;
    return { kind: 'not kept' };
  }
}

/** As the process that serves a session finds it in the journal. */
function isServing(place: Place): boolean {
  place.areExportsUp = !['keeping', 'cleaning', 'ready'].includes(recordOf(place).phase);
  return place.areExportsUp;
}

function setFence({ host, prepared }: Place, isFenced: boolean): void {
  for (const url of prepared.plan.disks.flatMap(({ urls }) => urls)) {
    host.served.get(url)!.isFenced = isFenced;
  }
}

/** What the session holds. */
function diskHere({ host, prepared }: Place, name: string): BlockDevice {
  const { bytes } = host.served.get(prepared.plan.disks.find((it) => it.name === name)!.urls[0]!)!;
  return readLayer(
    name,
    { size: bytes.size, blockSize: 4096 },
    { read: async (into, offset) => bytes.read(into, offset) },
  );
}

function planOf({ prepared }: Place, { placement }: SessionRecord): RunPlan {
  return { ...prepared.plan, pool: placement!.pool };
}

export async function contentsHere({ prepared }: Place): Promise<Record<string, Uint8Array>> {
  const { served } = prepared;
  return { vda: await served.contents('vda'), vdb: await served.contents('vdb') };
}

/** Machines on what the session serves. */
export function usersOf({ host, prepared }: Place): FakeMachine[] {
  const ours = new Set(prepared.plan.disks.flatMap(({ urls }) => urls));
  return [...host.machines.values()].filter(({ disks }) =>
    [...disks.values()].some(({ layers }) => layers.some((source) => ours.has(source))),
  );
}

export function machineIn({ host, prepared }: Place): FakeMachine | undefined {
  return host.machines.get(prepared.plan.uuid);
}

const endless = new AbortController().signal;

export function step(life: Life): ReturnType<PlacedSession['step']> {
  return life.step();
}

/** Steps until nothing more happens: it is over, or it waits. */
export async function rest(place: Place, life: Life, steps = 60): Promise<'over' | 'waits'> {
  let quiet = 0;
  for (let n = 0; n < steps; n++) {
    const before = Buffer.from(place.journal);
    const { length } = place.log;
    const pause = await step(life);
    if (pause.kind === 'over') return 'over';
    const isSame = before.equals(place.journal) && place.log.length === length;
    quiet = isSame && pause.ms > 0 ? quiet + 1 : 0;
    // A copy goes on from poll to poll.
    if (quiet > 5) return 'waits';
  }
  throw new Error(`it does not come to rest: ${place.log.slice(-12).join('\n')}`);
}
