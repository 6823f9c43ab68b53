import { join } from 'node:path/posix';
import { SystemError } from '../../sys/base/system-error.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import type { MachineId, MachinePower, MachineSummary } from '../base/machines.ts';
import { QMP } from './commands.ts';
import { openQmpLink, type QmpLink } from './link.ts';
import type { QmpHost } from './qmp-host.ts';

/*
 * A machine is a socket NAME.qmp in the directory: its name is that of the socket, its ID the UUID that QEMU was
 * started with. QEMU removes the socket when it ends, unless it is killed: machines that are off are not there.
 */

const SUFFIX = '.qmp';
/** More machines than one host runs. */
const MACHINES_MAX = 1000;
const AT_ONCE = 8;

export interface OpenMachine extends AsyncDisposable {
  readonly name: string;
  readonly uuid: string;
  readonly link: QmpLink;
}

function monitorOf({ directory }: Pick<QmpHost, 'directory'>, name: string): string {
  return join(directory, `${name}${SUFFIX}`);
}

/** Rejects UNREACHABLE if the directory is not there. */
async function namesIn({ files, directory }: QmpHost): Promise<readonly string[]> {
  try {
    const sockets = (await files.list(directory)).filter((it) => it.endsWith(SUFFIX));
    if (sockets.length > MACHINES_MAX) {
      const message = `${directory} has ${sockets.length} sockets, more than ${MACHINES_MAX}`;
      throw new HypervisorError('UNSUPPORTED', message);
    }
    return sockets.map((it) => it.slice(0, -SUFFIX.length)).filter((it) => it !== '');
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    const code = cause.code === 'DENIED' ? 'DENIED' : 'UNREACHABLE';
    const advice = `machines are started with "-qmp unix:${directory}/NAME.qmp,server=on,wait=off"`;
    throw new HypervisorError(code, `${cause.message}; ${advice}`, { cause });
  }
}

/** Rejects UNREACHABLE, DENIED. */
export async function requireDirectory(host: QmpHost): Promise<void> {
  await namesIn(host);
}

/** What there is of a machine that cannot be asked. */
interface Found extends MachineSummary {
  /** Undefined: it can be backed up. */
  readonly trouble: HypervisorError | undefined;
}

/** All of them, in the order of their names, a few at a time. */
export async function findMachines(host: QmpHost, signal: AbortSignal): Promise<readonly Found[]> {
  signal.throwIfAborted();
  const names = (await namesIn(host)).toSorted();
  const found: Found[] = [];
  for (let at = 0; at < names.length; at += AT_ONCE) {
    const some = names.slice(at, at + AT_ONCE);
    found.push(...(await Promise.all(some.map((name) => find(host, name, signal)))));
  }
  host.seen.clear();
  for (const { id, name } of found) {
    // Two with one UUID cannot be told from each other.
    if (found.every((it) => it.id !== id || it.name === name)) host.seen.set(id, name);
  }
  return found;
}

export async function listMachines(
  host: QmpHost,
  signal: AbortSignal,
): Promise<readonly MachineSummary[]> {
  const found = await findMachines(host, signal);
  return found.map(({ id, name, power }) => ({ id, name, power }));
}

/** One that does not answer does not hide the others; its ID is its name. */
async function find(host: QmpHost, name: string, signal: AbortSignal): Promise<Found> {
  try {
    await using link = await openLink(host, name, signal);
    const power = powerOf(await link.call(QMP.status, undefined, signal));
    const uuid = await link.call(QMP.uuid, undefined, signal);
    if (uuid === undefined) return { id: name, name, power, trouble: withoutUuid(name) };
    return { id: uuid, name, power, trouble: undefined };
  } catch (cause) {
    signal.throwIfAborted();
    if (!(cause instanceof HypervisorError)) throw cause;
    const power = cause.code === 'UNREACHABLE' ? 'off' : 'unknown';
    return { id: name, name, power, trouble: cause };
  }
}

function openLink(host: QmpHost, name: string, signal: AbortSignal): Promise<QmpLink> {
  return openQmpLink(monitorOf(host, name), { clock: host.clock, signal });
}

/** QEMU's other states are kinds of paused: while it migrates, after an error of a disk, before it is started. */
function powerOf(status: string): MachinePower {
  if (status === 'running') return 'on';
  if (status === 'suspended') return 'suspended';
  return status === 'shutdown' ? 'off' : 'paused';
}

function withoutUuid(name: string): HypervisorError {
  return new HypervisorError(
    'UNSUPPORTED',
    `${name} has no UUID, by which Holdfast knows a machine again: start it with "-uuid", and always the same one, ` +
      'made with "uuidgen"',
  );
}

const UUID = /^[0-9a-f-]{36}$/;

/**
 * Opens its monitor; the caller disposes of it. Rejects NOT_FOUND if no machine has that ID, UNREACHABLE if one that
 * does not answer may have it, CONFLICT if two have it, UNSUPPORTED if it has no UUID, and as `openQmpLink` does.
 */
export async function openMachine(
  host: QmpHost,
  id: MachineId,
  signal: AbortSignal,
): Promise<OpenMachine> {
  signal.throwIfAborted();
  // The ID of one that did not answer is its name.
  if (!UUID.test(id)) return openNamed(host, id, signal);
  const seen = host.seen.get(id);
  if (seen !== undefined) {
    const machine = await stillThere(host, { id, name: seen }, signal);
    if (machine) return machine;
    host.seen.delete(id);
  }
  const machine = await openNamed(host, await nameOf(host, id, signal), signal);
  if (machine.uuid === id) return machine;
  await machine[Symbol.asyncDispose]();
  throw unknown(id);
}

async function openNamed(host: QmpHost, name: string, signal: AbortSignal): Promise<OpenMachine> {
  const link = await openLink(host, name, signal);
  try {
    const uuid = await link.call(QMP.uuid, undefined, signal);
    if (uuid === undefined) throw withoutUuid(name);
    return { name, uuid, link, [Symbol.asyncDispose]: () => link[Symbol.asyncDispose]() };
  } catch (cause) {
    await link[Symbol.asyncDispose]();
    throw cause;
  }
}

/** The machine where it was last seen; undefined: it is no longer there. */
async function stillThere(
  host: QmpHost,
  { id, name }: { readonly id: MachineId; readonly name: string },
  signal: AbortSignal,
): Promise<OpenMachine | undefined> {
  if (!(await namesIn(host)).includes(name)) return undefined;
  try {
    const machine = await openNamed(host, name, signal);
    if (machine.uuid === id) return machine;
    await machine[Symbol.asyncDispose]();
    return undefined;
  } catch (cause) {
    // It may have been started again under another name.
    if (cause instanceof HypervisorError && cause.code === 'UNREACHABLE') return undefined;
    throw cause;
  }
}

async function nameOf(host: QmpHost, id: MachineId, signal: AbortSignal): Promise<string> {
  const all = await findMachines(host, signal);
  const [first, second] = all.filter((it) => it.id === id);
  if (second) {
    const message = `${first!.name} and ${second.name} have the same UUID, ${id}: start each with one of its own`;
    throw new HypervisorError('CONFLICT', message);
  }
  if (first) return first.name;
  const silent = all.filter(({ trouble }) => trouble);
  if (silent.length === 0) throw unknown(id);
  const why = silent.map(({ name, trouble }) => `${name} (${trouble!.message})`).join('; ');
  throw new HypervisorError(
    'UNREACHABLE',
    `no machine that answers has the UUID ${id}; these do not answer: ${why}`,
  );
}

function unknown(id: MachineId): HypervisorError {
  return new HypervisorError(
    'NOT_FOUND',
    `no machine that runs has the UUID ${id}: one of plain QEMU is there only while it runs`,
  );
}
