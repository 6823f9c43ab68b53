import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { connect } from './connect.ts';
import type { Hypervisors } from './hypervisors.ts';

/*
 * A machine that was migrated is no longer on the hypervisor from which a schedule backs it up: it is looked for on the
 * others that were added. A name is no proof, so that a person decides.
 */

/** So many are asked, each no longer than that: a backup has failed by then, and its reason is waited for. */
const ASKED_MAX = 16;
const ASKED_MS = 5000;

interface Sought {
  /** The name of the machine, and of the hypervisor that does not have it. */
  readonly machine: string;
  readonly missingOn: string;
  readonly owner: string;
  readonly signal: AbortSignal;
}

/** Where to look for it, in words. */
export async function elsewhere(
  hypervisors: Hypervisors,
  { machine, missingOn, owner, signal }: Sought,
): Promise<string> {
  const { records } = await hypervisors.files.list();
  const others = records.map(({ name }) => name).filter((it) => it !== missingOn);
  const has = async (name: string): Promise<boolean> => {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(ASKED_MS)]);
    try {
      await using it = await connect(hypervisors, name, { owner, signal: limit });
      return (await it.machines(limit)).some((found) => found.name === machine);
    } catch (cause) {
      signal.throwIfAborted();
      const isKnown = cause instanceof HypervisorError || cause instanceof SystemError;
      if (!isKnown && cause !== limit.reason) throw cause;
      return false;
    }
  };
  const asked = others.slice(0, ASKED_MAX);
  const answers = await Promise.all(asked.map(has));
  const found = asked.filter((_, at) => answers[at]);
  if (found.length === 0) {
    return `if it was moved to another host, back it up from there ("holdfast hypervisor add", --from HOST/${machine})`;
  }
  const places = found.map((name) => `--from ${name}/${machine}`).join(' or ');
  return `a machine of that name is on ${found.join(' and ')}: if it was moved, back it up from there (${places})`;
}
