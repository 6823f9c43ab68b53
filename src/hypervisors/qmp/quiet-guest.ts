import type { Consistency, ConsistencyLevel } from '../../formats/store/catalog/machine.ts';
import { asError } from '../../lib/as-error.ts';
import type { BackupWish } from '../base/backup-driver.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { withinLimit } from '../base/within-limit.ts';
import { type Agent, hasAgentSocket, openAgent } from './agent.ts';
import { AGENT, QMP } from './commands.ts';
import type { QmpLink } from './link.ts';
import { type OpenMachine } from './machines.ts';
import { QmpError } from './qmp-error.ts';
import { markOf, type QmpHost } from './qmp-host.ts';

/*
 * A guest is quiet while its agent has frozen its file systems: programs in it stand still as soon as they write. So
 * it lasts only as long as a backup takes to begin, and is ended in every case: before a guest is frozen, its QEMU gets
 * a mark of ours, an empty node, which the next backup finds if this one dies. It goes when QEMU goes, as the freeze
 * does.
 */

/** How often a thaw is tried, and how long in all, whatever else has been given up. */
const THAW_TRIES = 5;
const THAW_PAUSE_MS = 500;
const THAW_MS = 30_000;
/** A guest that does not freeze within this time is thawed again. */
const FREEZE_MS = 30_000;
const PING_MS = 5000;
/** How long QEMU may take to begin a backup while a guest is frozen. */
const FROZEN_MS = 15_000;

interface QuietGuest {
  readonly machine: Pick<OpenMachine, 'name' | 'link'>;
  readonly wish: Pick<BackupWish, 'consistency' | 'fallBack'>;
  readonly signal: AbortSignal;
  readonly onNotice: (message: string) => void;
}

interface Quiet<T> {
  readonly result: T;
  readonly consistency: Consistency;
}

/** Why no agent answers; undefined: one does. */
export async function whyNoAgent(
  host: QmpHost,
  name: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const found = await reachAgent(host, name, signal);
  if (typeof found === 'string') return found;
  await found[Symbol.asyncDispose]();
  return undefined;
}

/** The agent, or why there is none. */
async function reachAgent(
  host: QmpHost,
  name: string,
  signal: AbortSignal,
): Promise<Agent | string> {
  if (!(await hasAgentSocket(host, name))) {
    return `the machine has no socket of the QEMU guest agent (${name}.qga, beside ${name}.qmp)`;
  }
  try {
    const agent = await openAgent(host, name, signal);
    try {
      await agent.call(AGENT.ping, undefined, { timeoutMs: PING_MS, signal });
      return agent;
    } catch (cause) {
      await agent[Symbol.asyncDispose]();
      throw cause;
    }
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
    return cause.message;
  }
}

/**
 * Does `work` while the guest is as quiet as is wished, or as can be. Rejects UNSUPPORTED if that is less, and the wish
 * does not allow it; BUSY if it takes longer than a guest may be frozen.
 */
export async function whileQuiet<T>(
  host: QmpHost,
  guest: QuietGuest,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<Quiet<T>> {
  const { machine, wish, signal } = guest;
  const asked = wish.consistency;
  const crash = async (consistency: Consistency): Promise<Quiet<T>> => ({
    result: await work(signal),
    consistency,
  });
  if (asked === 'crash') return crash({ asked, got: 'crash' });
  const found = await reachAgent(host, machine.name, signal);
  if (typeof found === 'string') return crash(loud(guest, found));
  await using agent = found;
  const got = asked === 'application' ? await reached(agent, signal) : 'file-system';
  if (got !== asked && !wish.fallBack) throw new HypervisorError('UNSUPPORTED', NO_APPLICATIONS);
  try {
    await mark(host, machine.link, signal);
  } catch (cause) {
    await unmark(host, machine.link);
    throw cause;
  }
  const { frozen, refused } = await freeze(host, agent, guest);
  if (refused) return crash(loud(guest, refused.message));
  let done: { readonly result: T } | undefined;
  let thawed: Thawed;
  try {
    done = await withinLimit({ clock: host.clock, limitMs: FROZEN_MS, signal }, work);
  } finally {
    thawed = await thaw(host, { ...guest, agent });
  }
  if (!done) throw new HypervisorError('BUSY', LATE);
  const consistency =
    thawed === 0 && frozen > 0
      ? loud(guest, ENDED)
      : { asked, got, ...(got !== asked && { why: NO_APPLICATIONS }) };
  return { result: done.result, consistency };
}

/** Less than is wished. Throws UNSUPPORTED if that is not accepted. */
function loud({ wish, onNotice }: QuietGuest, why: string): Consistency {
  const less = `the guest's file systems could not be frozen: ${why}`;
  if (!wish.fallBack) throw new HypervisorError('UNSUPPORTED', less);
  onNotice(`${less}; the backup has the state as after a power cut`);
  return { asked: wish.consistency, got: 'crash', why };
}

const LATE =
  `QEMU did not begin the backup within the ${FROZEN_MS / 1000} seconds that a guest stays frozen: look at its ` +
  'storage, and back it up again, or with "--consistency crash"';
const ENDED = 'they were no longer frozen when the backup had begun';
const NO_APPLICATIONS =
  'only agents of Windows guests (VSS) have programs write everything out; elsewhere file systems are frozen, and ' +
  "the agent's own hooks run";

/** The highest level that a freeze reaches in this guest. */
async function reached(agent: Agent, signal: AbortSignal): Promise<ConsistencyLevel> {
  try {
    const system = await agent.call(AGENT.system, undefined, { timeoutMs: PING_MS, signal });
    return system === 'mswindows' ? 'application' : 'file-system';
  } catch (cause) {
    if (!(cause instanceof QmpError)) throw cause;
    return 'file-system';
  }
}

interface Freeze {
  /** The number of file systems. */
  readonly frozen: number;
  /** Why the guest refused; then nothing of ours is frozen, and what another program has frozen stays so. */
  readonly refused?: HypervisorError;
}

async function freeze(host: QmpHost, agent: Agent, guest: QuietGuest): Promise<Freeze> {
  const { machine, signal } = guest;
  try {
    const options = { timeoutMs: FREEZE_MS, signal };
    return { frozen: await agent.call(AGENT.freeze, undefined, options) };
  } catch (cause) {
    if (cause instanceof QmpError) {
      await unmark(host, machine.link);
      return { frozen: 0, refused: cause };
    }
    // An agent that is silent may have frozen it, or may still do so. Its channel takes one client at a time.
    await agent[Symbol.asyncDispose]();
    await thaw(host, { ...guest, agent: undefined });
    signal.throwIfAborted();
    if (cause instanceof HypervisorError) return { frozen: 0, refused: cause };
    throw cause;
  }
}

interface Frozen extends Pick<QuietGuest, 'machine' | 'onNotice'> {
  /** One that answered until now; undefined: none. */
  readonly agent: Agent | undefined;
}

/** The number of file systems that were thawed; `frozen`: they may still be. */
type Thawed = number | 'frozen';

/** Never rejects. Thaws until the guest says that it is thawed, and takes the mark away. */
async function thaw(host: QmpHost, { machine, onNotice, agent }: Frozen): Promise<Thawed> {
  const { name, link } = machine;
  const signal = AbortSignal.timeout(THAW_MS);
  const options = { timeoutMs: THAW_MS, signal };
  let reason = '';
  for (let tries = 0; tries < THAW_TRIES && !signal.aborted; tries++) {
    try {
      let count: number;
      if (agent && tries === 0) count = await agent.call(AGENT.thaw, undefined, options);
      else {
        await agent?.[Symbol.asyncDispose]();
        await using again = await openAgent(host, name, signal);
        count = await again.call(AGENT.thaw, undefined, options);
      }
      await unmark(host, link);
      return count;
    } catch (cause) {
      reason = asError(cause).message;
      await host.clock.sleep(THAW_PAUSE_MS);
    }
  }
  onNotice(
    `the guest may still be frozen (${reason}): look at it, and thaw it with "guest-fsfreeze-thaw" at ${name}.qga. ` +
      'The next backup of the machine tries it too',
  );
  return 'frozen';
}

/**
 * Thaws a guest that a backup of ours has left frozen. Returns in words what was done, or could not be: an agent that
 * is away keeps no machine from being backed up, and the mark stays for the next time.
 */
export async function thawLeft(
  host: QmpHost,
  machine: Pick<OpenMachine, 'name' | 'link'>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const nodes = await machine.link.call(QMP.nodes, { flat: true }, signal);
  if (!nodes.some(({ name }) => name === frozenMark(host))) return undefined;
  let failure: string | undefined;
  const thawed = await thaw(host, {
    ...{ machine, agent: undefined },
    onNotice: (message) => (failure = message),
  });
  if (failure !== undefined) return failure;
  return thawed === 0 ? undefined : 'its guest was frozen, and was thawed';
}

/** The name of the node that marks a frozen guest. */
export function frozenMark(host: Pick<QmpHost, 'owner'>): string {
  return `${markOf(host)}frozen`;
}

async function mark(host: QmpHost, link: QmpLink, signal: AbortSignal): Promise<void> {
  const node = { driver: 'null-co', 'node-name': frozenMark(host), size: 0 };
  await link.call(QMP.addNode, node, signal);
}

/** QEMU that has ended has no mark. */
async function unmark(host: QmpHost, link: QmpLink): Promise<void> {
  try {
    const signal = AbortSignal.timeout(THAW_MS);
    await link.call(QMP.removeNode, { 'node-name': frozenMark(host) }, signal);
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
  }
}
