import type { Consistency, ConsistencyLevel } from '../../formats/store/catalog/machine.ts';
import { asError } from '../../lib/as-error.ts';
import type { BackupWish } from '../base/backup-driver.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
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

export const NO_SOCKET = 'the machine has no socket of the QEMU guest agent';

/** The agent, or why there is none. */
async function reachAgent(
  host: QmpHost,
  name: string,
  signal: AbortSignal,
): Promise<Agent | string> {
  if (!(await hasAgentSocket(host, name))) {
    return `${NO_SOCKET} (${name}.qga, beside ${name}.qmp)`;
  }
  try {
    const agent = await openAgent(host, name, signal);
    try {
      await agent.call(AGENT.ping, PING_MS, signal);
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
 * does not allow it; then nothing was done.
 */
export async function whileQuiet<T>(
  host: QmpHost,
  guest: QuietGuest,
  work: () => Promise<T>,
): Promise<Quiet<T>> {
  const { machine, wish, signal } = guest;
  const asked = wish.consistency;
  if (asked === 'crash') return { result: await work(), consistency: { asked, got: 'crash' } };
  const found = await reachAgent(host, machine.name, signal);
  if (typeof found === 'string') {
    const consistency = loud(guest, found);
    return { result: await work(), consistency };
  }
  await using agent = found;
  const got = asked === 'application' ? await reached(agent, signal) : 'file-system';
  if (got !== asked && !wish.fallBack) throw new HypervisorError('UNSUPPORTED', NO_APPLICATIONS);
  try {
    await mark(host, machine.link, signal);
  } catch (cause) {
    await unmark(host, machine.link);
    throw cause;
  }
  const refused = await freeze(host, agent, guest);
  try {
    if (refused) {
      // Nothing of ours is frozen; what another program has frozen stays so.
      const consistency = loud(guest, refused.message);
      await unmark(host, machine.link);
      return { result: await work(), consistency };
    }
    const consistency = { asked, got, ...(got !== asked && { why: NO_APPLICATIONS }) };
    return { result: await work(), consistency };
  } finally {
    if (!refused) await thaw(host, { ...guest, agent });
  }
}

/** Less than is wished. Throws UNSUPPORTED if that is not accepted. */
function loud({ wish, onNotice }: QuietGuest, why: string): Consistency {
  const less = `the guest's file systems could not be frozen: ${why}`;
  if (!wish.fallBack) throw new HypervisorError('UNSUPPORTED', less);
  onNotice(`${less}; the backup has the state as after a power cut`);
  return { asked: wish.consistency, got: 'crash', why };
}

const NO_APPLICATIONS =
  'only agents of Windows guests (VSS) have programs write everything out; elsewhere file systems are frozen, and ' +
  "the agent's own hooks run";

/** The highest level that a freeze reaches in this guest. */
async function reached(agent: Agent, signal: AbortSignal): Promise<ConsistencyLevel> {
  try {
    const system = await agent.call(AGENT.system, PING_MS, signal);
    return system === 'mswindows' ? 'application' : 'file-system';
  } catch (cause) {
    if (!(cause instanceof QmpError)) throw cause;
    return 'file-system';
  }
}

/** Why the guest refused; undefined: it is frozen. */
async function freeze(
  host: QmpHost,
  agent: Agent,
  guest: QuietGuest,
): Promise<HypervisorError | undefined> {
  const { signal } = guest;
  try {
    await agent.call(AGENT.freeze, FREEZE_MS, signal);
    return undefined;
  } catch (cause) {
    if (cause instanceof QmpError) return cause;
    // An agent that is silent may have frozen it, or may still do so. Its channel takes one client at a time.
    await agent[Symbol.asyncDispose]();
    await thaw(host, { ...guest, agent: undefined });
    signal.throwIfAborted();
    if (cause instanceof HypervisorError) return cause;
    throw cause;
  }
}

interface Frozen extends Pick<QuietGuest, 'machine' | 'onNotice'> {
  /** One that answered until now; undefined: none. */
  readonly agent: Agent | undefined;
}

/** Never rejects. Thaws until the guest says that it is thawed, and takes the mark away. */
async function thaw(host: QmpHost, { machine, onNotice, agent }: Frozen): Promise<void> {
  const { name, link } = machine;
  const signal = AbortSignal.timeout(THAW_MS);
  let reason = '';
  for (let tries = 0; tries < THAW_TRIES && !signal.aborted; tries++) {
    try {
      if (agent && tries === 0) await agent.call(AGENT.thaw, THAW_MS, signal);
      else {
        await agent?.[Symbol.asyncDispose]();
        await using again = await openAgent(host, name, signal);
        await again.call(AGENT.thaw, THAW_MS, signal);
      }
      return await unmark(host, link);
    } catch (cause) {
      reason = asError(cause).message;
      await host.clock.sleep(THAW_PAUSE_MS);
    }
  }
  onNotice(
    `the guest may still be frozen (${reason}): look at it, and thaw it with "guest-fsfreeze-thaw" at ${name}.qga. ` +
      'The next backup of the machine tries it too',
  );
}

/** Thaws a guest that a backup of ours has left frozen; whether there was one. */
export async function thawLeft(
  host: QmpHost,
  machine: Pick<OpenMachine, 'name' | 'link'>,
  signal: AbortSignal,
): Promise<boolean> {
  const nodes = await machine.link.call(QMP.nodes, { flat: true }, signal);
  if (!nodes.some(({ name }) => name === frozenMark(host))) return false;
  let failure: string | undefined;
  await thaw(host, { machine, agent: undefined, onNotice: (message) => (failure = message) });
  if (failure !== undefined) throw new HypervisorError('FAILED', failure);
  return true;
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
