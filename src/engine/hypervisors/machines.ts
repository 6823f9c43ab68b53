import { machineOf, type PointPlace } from '../../catalog/point-places.ts';
import { readPlaces } from '../../catalog/points.ts';
import type { Hypervisor } from '../../hypervisors/base/hypervisor.ts';
import type { MachineSummary } from '../../hypervisors/base/machines.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import type { ShownMachine } from '../../operations/nouns/hypervisor.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import type { Engine, WorkOptions } from '../base/engine.ts';
import { newestProofs } from '../points/point-proofs.ts';
import { connect } from './connect.ts';
import type { Hypervisors } from './hypervisors.ts';
import { machineNamed, shownFinding, WISH } from './readiness.ts';

/* The machines of a hypervisor, each with its newest recovery point and, if asked for, what a backup would meet. */

/** So many machines are examined at a time: each takes a few calls. */
const EXAMINED_MAX = 8;
/** Bytes a second, about what a network of 1 Gbit/s carries: a backup reads through one, unless it is local. */
const NETWORK_RATE = 100_000_000;

export async function machines(
  hypervisors: Hypervisors,
  engine: Engine,
  { hypervisor, machine, check }: RequestOf<'hypervisor/machines'>,
  { signal, report }: Pick<WorkOptions, 'signal' | 'report'>,
): Promise<ResultOf<'hypervisor/machines'>> {
  await using it = await connect(hypervisors, hypervisor, { owner: engine.store.id, signal });
  const all = await it.machines(signal);
  const summaries = machine === undefined ? all : [machineNamed(it, all, machine)];
  const names = new Set(summaries.map(({ name }) => name));
  const places = await engine.pointNames.newestFirst(undefined);
  const last = await lastBackups(engine, places, names);
  const proofs = await newestProofs(engine.store, places, (name) => names.has(name));
  const shown: ShownMachine[] = [];
  const total = summaries.length;
  for (let at = 0; at < total; at += EXAMINED_MAX) {
    if (check) report({ event: 'progress', phase: 'machines', position: at, total });
    const some = summaries.slice(at, at + EXAMINED_MAX);
    const examined = await Promise.all(
      some.map(async (summary) => ({
        ...{ machine: summary.name, id: summary.id, power: summary.power },
        ...{ last: last.get(summary.name) ?? null, proof: proofs.get(summary.name) ?? null },
        ...(check ? await examine(it, summary, signal) : NOT_ASKED),
      })),
    );
    shown.push(...examined);
  }
  return {
    ...{ hypervisor, product: it.facts.product, machines: shown },
    places: await placesOn(it, signal),
  };
}

/** An account that may not see them does not hide the machines. */
async function placesOn(
  { run }: Hypervisor,
  signal: AbortSignal,
): Promise<ResultOf<'hypervisor/machines'>['places']> {
  if (!run) return null;
  try {
    const { pools, networks } = await run.places(signal);
    return {
      pools: pools.map(({ name: pool, free }) => ({ pool, free })),
      networks: [...networks],
    };
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
    return null;
  }
}

type Examined = Pick<ShownMachine, 'disks' | 'bytes' | 'seconds' | 'findings'>;
const NOT_ASKED: Examined = { disks: null, bytes: null, seconds: null, findings: null };

/** A machine that cannot be examined does not hide the others. */
async function examine(
  it: Hypervisor,
  { id }: MachineSummary,
  signal: AbortSignal,
): Promise<Examined> {
  try {
    const { machine } = await it.describe(id, signal);
    const findings = await it.backup.check(id, WISH, signal);
    const read = machine.disks.filter(({ excluded }) => !excluded);
    const isKnown = read.every(({ size }) => size !== undefined);
    const bytes = isKnown ? read.reduce((sum, { size = 0 }) => sum + size, 0) : null;
    return {
      disks: machine.disks.map(({ name, size = null, excluded }) => ({
        ...{ disk: name, size },
        excluded: excluded?.detail ?? null,
      })),
      ...{ bytes, seconds: bytes === null ? null : Math.ceil(bytes / NETWORK_RATE) },
      findings: findings.map(shownFinding),
    };
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
    const { message } = cause;
    const code = 'reachable';
    return {
      ...NOT_ASKED,
      findings: [{ level: 'blocker', code, disk: null, message, remedy: null }],
    };
  }
}

type Last = NonNullable<ShownMachine['last']>;

/** By machine, whose name in the sets is that on the hypervisor, unless another one was chosen. */
async function lastBackups(
  { store }: Engine,
  places: readonly PointPlace[],
  names: ReadonlySet<string>,
): Promise<ReadonlyMap<string, Last>> {
  const newest = new Map<string, PointPlace>();
  for (const place of places) {
    const machine = machineOf(place.id);
    if (machine !== undefined && names.has(machine) && !newest.has(machine)) {
      newest.set(machine, place);
    }
  }
  const { points } = await readPlaces(store, [...newest.values()]);
  return new Map(
    points.map(({ id, set, machine, created, consistency }): readonly [string, Last] => [
      machine,
      { set, point: id, created, consistency: consistency?.got ?? null },
    ]),
  );
}
