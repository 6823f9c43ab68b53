import { FormatError } from '../../formats/format-error.ts';
import {
  GUEST_PART_MAX,
  guestCommandsIn,
  guestEndIn,
  guestHandleIn,
  guestPartIn,
  guestPidIn,
  type GuestProgramEnd,
  guestSystemIdIn,
  guestWrittenIn,
} from '../../formats/wire/guest-agent.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';

/*
 * The QEMU guest agent, asked to open files and to run programs: no shell, and no command but those. Handles that it
 * gave stay open until they are closed, also when we go.
 */
export interface GuestAgent {
  readonly clock: Clock;
  /**
   * The answer as it came. Rejects UNREACHABLE if no agent answers, with what to do about it; otherwise with the words
   * of the agent, or the reason of the signal.
   */
  ask(command: string, args: object | undefined, signal: AbortSignal | undefined): Promise<unknown>;
}

export const NO_AGENT =
  'install and start qemu-guest-agent in the guest, and give the machine a channel for it (org.qemu.guest_agent.0)';

const NEEDED = [
  ...['guest-file-open', 'guest-file-read', 'guest-file-write'],
  ...['guest-file-flush', 'guest-file-close'],
] as const;
const PROGRAMS = ['guest-exec', 'guest-exec-status'] as const;
/** The programs that are run take no time; a disk that hangs must not hold us. */
const PROGRAM_MS = 20_000;
const POLL_MS = 50;

/** What the agent may do besides; undefined: nothing, and why. */
export interface Abilities {
  readonly programs: boolean;
  readonly why: string | undefined;
}

/** Rejects UNSUPPORTED if it may not open and write files, with what to do about it. */
export async function abilitiesOf(agent: GuestAgent, signal: AbortSignal): Promise<Abilities> {
  const commands = readGuest(guestCommandsIn, await agent.ask('guest-info', undefined, signal));
  const missing = NEEDED.filter((it) => !commands.has(it));
  if (missing.length > 0) {
    throw new HypervisorError(
      'UNSUPPORTED',
      `the guest agent refuses ${missing.join(', ')}: ${allow(missing)}`,
    );
  }
  const refused = PROGRAMS.filter((it) => !commands.has(it));
  if (refused.length > 0) {
    const why = `the guest agent refuses ${refused.join(', ')} (${allow(refused)})`;
    return { programs: false, why };
  }
  const system = await agent.ask('guest-get-osinfo', undefined, signal).catch((cause: unknown) => {
    if (cause instanceof HypervisorError && cause.code !== 'UNREACHABLE') return {};
    throw cause;
  });
  if (readGuest(guestSystemIdIn, system) === 'mswindows') return { programs: false, why: WINDOWS };
  const tried = await tryProgram(agent, ['test', '-d', '/'], signal);
  if (tried?.code === 0) return { programs: true, why: undefined };
  return { programs: false, why: 'the guest agent cannot run the programs of the guest' };
}

const WINDOWS = 'on Windows, files have owners and rights of another kind';

/** Distributions block different commands, under different names (qemu-ga(8), Red Hat's sysconfig). */
function allow(commands: readonly string[]): string {
  return (
    `remove ${commands.length === 1 ? 'it' : 'them'} from "block-rpcs" (before QEMU 8: "blacklist") in ` +
    '/etc/qemu/qemu-ga.conf of the guest, or from what /etc/sysconfig/qemu-ga blocks, and restart ' +
    'qemu-guest-agent'
  );
}

export interface OpenGuestFile {
  write(bytes: Uint8Array): Promise<number>;
  /** What follows, at most GUEST_PART_MAX bytes; none: the end. */
  read(): Promise<Uint8Array>;
  flush(): Promise<void>;
}

/** Does `work` with a file that is open in the guest, and closes it in each case. */
export async function withGuestFile<T>(
  agent: GuestAgent,
  { path, mode, signal }: { readonly path: string; readonly mode: 'r' | 'w'; signal: AbortSignal },
  work: (file: OpenGuestFile) => Promise<T>,
): Promise<T> {
  const args = { path, mode: `${mode}b` };
  signal.throwIfAborted();
  // To its end: a handle whose number is not heard stays open for good.
  const handle = readGuest(guestHandleIn, await agent.ask('guest-file-open', args, undefined));
  const count = GUEST_PART_MAX;
  let result: T;
  try {
    result = await work({
      async write(bytes) {
        const part = bytes.subarray(0, GUEST_PART_MAX);
        const text = Buffer.from(part.buffer, part.byteOffset, part.length).toString('base64');
        const asked = { handle, 'buf-b64': text };
        const answer = await agent.ask('guest-file-write', asked, signal);
        return readGuest((it) => guestWrittenIn(it, part.length), answer);
      },
      async read() {
        const answer = await agent.ask('guest-file-read', { handle, count }, signal);
        return readGuest((it) => guestPartIn(it, count), answer);
      },
      async flush() {
        await agent.ask('guest-file-flush', { handle }, signal);
      },
    });
  } catch (cause) {
    // The first failure counts. Also after an abort: the agent would keep it open for good.
    await agent.ask('guest-file-close', { handle }, undefined).catch(() => {});
    throw cause;
  }
  // What the agent still held is written only now: a full disk shows here.
  await agent.ask('guest-file-close', { handle }, undefined);
  return result;
}

/** Runs a program of the guest to its end. Rejects if it cannot be started. */
export async function runInGuest(
  agent: GuestAgent,
  [path = '', ...arg]: readonly string[],
  signal: AbortSignal | undefined,
): Promise<GuestProgramEnd> {
  const asked = { path, arg, 'capture-output': true };
  const pid = readGuest(guestPidIn, await agent.ask('guest-exec', asked, signal));
  const { clock } = agent;
  const until = clock.monotonicMs() + PROGRAM_MS;
  for (;;) {
    const end = readGuest(guestEndIn, await agent.ask('guest-exec-status', { pid }, signal));
    if (end) return end;
    if (clock.monotonicMs() > until) {
      throw new HypervisorError(
        'FAILED',
        `${path} does not end in the guest: does one of its disks not answer?`,
      );
    }
    await clock.sleep(POLL_MS, signal);
  }
}

/** Undefined: it cannot be started. */
async function tryProgram(agent: GuestAgent, words: readonly string[], signal: AbortSignal) {
  try {
    return await runInGuest(agent, words, signal);
  } catch (cause) {
    if (cause instanceof HypervisorError && cause.code !== 'UNREACHABLE') return undefined;
    throw cause;
  }
}

/** Throws FAILED where `decode` throws FormatError. */
export function readGuest<T, A = unknown>(decode: (answer: A) => T, answer: A): T {
  try {
    return decode(answer);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    const message = `an answer of the guest agent cannot be read: ${cause.message}`;
    throw new HypervisorError('FAILED', message, { cause });
  }
}
