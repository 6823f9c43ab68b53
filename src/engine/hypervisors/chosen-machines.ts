import { checkName } from '../../catalog/names.ts';
import type { Hypervisor } from '../../hypervisors/base/hypervisor.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import type { MachineSummary } from '../../hypervisors/base/machines.ts';
import type { RequestOf } from '../../operations/operations.ts';
import type { Engine } from '../base/engine.ts';
import { connect } from './connect.ts';
import { elsewhere } from './elsewhere.ts';
import type { Hypervisors } from './hypervisors.ts';

/** A machine that is to be backed up. */
export interface ChosenMachine {
  readonly host: Hypervisor;
  readonly summary: MachineSummary;
  /** As HYPERVISOR/MACHINE. */
  readonly label: string;
  /** Its name in the set. */
  readonly machine: string;
}

/** Rejects NOT_FOUND for a pattern that names no machine, BAD_NAME. */
export async function chosenMachines(
  { store }: Engine,
  { from, machine }: Pick<RequestOf<'backup/machine'>, 'from' | 'machine'>,
  { hosts, hypervisors, signal }: Connecting,
): Promise<readonly ChosenMachine[]> {
  const opened = new Map<string, Promise<Hypervisor>>();
  const open = async (name: string): Promise<Hypervisor> =>
    hosts.use(await connect(hypervisors, name, { owner: store.id, signal }));
  const chosen = new Map<string, ChosenMachine>();
  for (const one of from) {
    const [name = '', pattern = ''] = splitOnce(one);
    const opening = opened.get(name) ?? open(name);
    opened.set(name, opening);
    const host = await opening;
    const machines = await host.machines(signal);
    const found = machines.filter((it) => matches(it.name, pattern));
    if (found.length === 0) {
      const owner = store.id;
      const sought = { machine: pattern, missingOn: name, owner, signal };
      const where = pattern.includes('*') ? '' : `; ${await elsewhere(hypervisors, sought)}`;
      throw new HypervisorError(
        'NOT_FOUND',
        `${name} has no machine "${pattern}"${known(machines)}${where}`,
      );
    }
    for (const summary of found) {
      const label = `${name}/${summary.name}`;
      chosen.set(label, { host, summary, label, machine: machine ?? summary.name });
    }
  }
  const all = [...chosen.values()];
  for (const it of all) checkName(it.machine, 'machine');
  requireOwnNames(all);
  return all;
}

interface Connecting {
  /** Each is connected to once, and belongs to it. */
  readonly hosts: AsyncDisposableStack;
  readonly hypervisors: Hypervisors;
  readonly signal: AbortSignal;
}

/** Two machines under one name would take turns in one chain of recovery points. */
function requireOwnNames(chosen: readonly ChosenMachine[]): void {
  const labels = new Map<string, string>();
  for (const { label, machine } of chosen) {
    const other = labels.get(machine);
    if (other !== undefined) {
      const advice = 'back them up one by one, each with a name of its own (--machine)';
      throw new HypervisorError(
        'CONFLICT',
        `${other} and ${label} would both be "${machine}" in the backup set: ${advice}`,
      );
    }
    labels.set(machine, label);
  }
}

function splitOnce(text: string): readonly string[] {
  const at = text.indexOf('/');
  return [text.slice(0, at), text.slice(at + 1)];
}

/** `*` stands for any part of the name. */
function matches(name: string, pattern: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return name === pattern;
  if (!name.startsWith(first) || name.length < first.length + last.length) return false;
  let at = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return name.endsWith(last) && name.length - last.length >= at;
}

const KNOWN_SHOWN_MAX = 8;

function known(machines: readonly MachineSummary[]): string {
  if (machines.length === 0) return ': it has none';
  const names = machines.slice(0, KNOWN_SHOWN_MAX).map(({ name }) => name);
  const more = machines.length > names.length ? `, and ${machines.length - names.length} more` : '';
  return `: it has ${names.join(', ')}${more}`;
}
