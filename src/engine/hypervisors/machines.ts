import { idTime, machineOf } from '../../catalog/point-places.ts';
import type { Hypervisor } from '../../hypervisors/base/hypervisor.ts';
import type { MachineSummary } from '../../hypervisors/base/machines.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import type { ShownMachine } from '../../operations/nouns/hypervisor.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import type { Engine } from '../base/engine.ts';
import { connect, ownerOf } from './connect.ts';
import type { Hypervisors } from './hypervisors.ts';
import { shownFinding, WISH } from './readiness.ts';

/* The machines of a hypervisor, each with its newest recovery point and, if asked for, what a backup would meet. */

/** So many machines are examined at a time: each takes a few calls. */
const EXAMINED_MAX = 8;

export async function machines(
  hypervisors: Hypervisors,
  engine: Engine,
  { hypervisor, check }: RequestOf<'hypervisor/machines'>,
  { signal }: { readonly signal: AbortSignal },
): Promise<ResultOf<'hypervisor/machines'>> {
  const owner = ownerOf(engine.store);
  await using it = await connect(hypervisors, hypervisor, { owner, signal });
  const summaries = await it.machines(signal);
  const last = await lastBackups(engine, new Set(summaries.map(({ name }) => name)));
  const shown: ShownMachine[] = [];
  for (let at = 0; at < summaries.length; at += EXAMINED_MAX) {
    const some = summaries.slice(at, at + EXAMINED_MAX);
    const examined = await Promise.all(
      some.map(async (summary) => ({
        ...{ machine: summary.name, id: summary.id, power: summary.power },
        last: last.get(summary.name) ?? null,
        ...(check ? await examine(it, summary, signal) : NOT_ASKED),
      })),
    );
    shown.push(...examined);
  }
  return { hypervisor, product: it.facts.product, machines: shown };
}

type Examined = Pick<ShownMachine, 'disks' | 'bytes' | 'findings'>;
const NOT_ASKED: Examined = { disks: null, bytes: null, findings: null };

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
    return {
      disks: machine.disks.map(({ name, size = null, excluded }) => ({
        ...{ disk: name, size },
        excluded: excluded?.detail ?? null,
      })),
      bytes: isKnown ? read.reduce((sum, { size = 0 }) => sum + size, 0) : null,
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

/** By machine. A machine is known by its name in the sets: that is its name on the hypervisor, unless given. */
async function lastBackups(
  { pointNames }: Engine,
  names: ReadonlySet<string>,
): Promise<ReadonlyMap<string, NonNullable<ShownMachine['last']>>> {
  const last = new Map<string, NonNullable<ShownMachine['last']>>();
  for (const { set, id } of await pointNames.newestFirst(undefined)) {
    const machine = machineOf(id);
    if (machine === undefined || !names.has(machine) || last.has(machine)) continue;
    last.set(machine, { set, point: id, created: new Date(idTime(id)).toISOString() });
  }
  return last;
}
