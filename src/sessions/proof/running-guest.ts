import { join } from 'node:path/posix';
import { decodePpm, type Picture, PPM_LENGTH_MAX } from '../../formats/image/picture.ts';
import { PROOF_TEXT_MAX } from '../../formats/store/catalog/proof-result.ts';
import { FormatError } from '../../formats/format-error.ts';
import { QMP } from '../../hypervisors/qmp/commands.ts';
import { openQmpLink, type QmpLink } from '../../hypervisors/qmp/link.ts';
import type { Store } from '../../store/directory/store.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { connect } from '../../sys/net/network.ts';
import { asGuest, type GuestUser } from '../../sys/process/guest-user.ts';
import { isMissing, startTool, type Tool, type ToolEnd } from '../../sys/process/tool.ts';
import { SessionError } from '../state/session-error.ts';
import { plainText, type PlainText } from './plain-text.ts';

/* QEMU for one boot: started, and looked at through its sockets. It ends with this process. */

export interface RunningGuest extends AsyncDisposable {
  readonly link: QmpLink;
  readonly serial: PlainText;
  /** What QEMU has reported so far. */
  readonly events: Readonly<GuestEvents>;
  /** Why QEMU ended; undefined: it runs. */
  readonly ended: string | undefined;
  /** Lets the guest begin. */
  run(signal: AbortSignal): Promise<void>;
  /** Undefined: it has none now, or one that is too large. */
  screen(signal: AbortSignal): Promise<Picture | undefined>;
}

interface GuestEvents {
  resets: number;
  panicked: boolean;
  poweredOff: boolean;
}

export interface GuestOptions {
  readonly args: readonly string[];
  /** Where its sockets are. */
  readonly directory: string;
  readonly user: GuestUser | undefined;
  readonly signal: AbortSignal;
}

const QEMU = 'qemu-system-x86_64';
const LOOK_MS = 20;
/** Connecting to the disks, and firmware into memory; also on a box that is busy. */
const START_MS = 60_000;
const REASON_MAX = 1000;
const GRACE_MS = 1000;

/** The guest has not begun to run. Rejects UNSUPPORTED without QEMU, and if QEMU does not take the machine. */
export async function startGuest(
  store: Store,
  { args, directory, user, signal }: GuestOptions,
): Promise<RunningGuest> {
  const { clock, files } = store;
  await using stack = new AsyncDisposableStack();
  const tool = stack.use(await startTool(...asGuest(user, QEMU, args)));
  let end: ToolEnd | undefined;
  void tool.ended.then((it) => (end = it));
  tool.stdout.resume();
  const until = clock.monotonicMs() + START_MS;
  while (!(await files.stat(join(directory, 'qemu.qga')))) {
    if (end || clock.monotonicMs() > until) throw notStarted(tool, end);
    await clock.sleep(LOOK_MS, signal);
  }
  const events: GuestEvents = { resets: 0, panicked: false, poweredOff: false };
  let link: QmpLink;
  try {
    link = stack.use(
      await openQmpLink(join(directory, 'qmp'), {
        clock,
        signal,
        onEvent: (it) => note(events, it),
      }),
    );
  } catch (cause) {
    signal.throwIfAborted();
    // What it has written says more than that its socket is silent.
    await Promise.race([tool.ended, clock.sleep(GRACE_MS, signal)]);
    if (end) throw notStarted(tool, end, cause);
    throw cause;
  }
  const serial = plainText(PROOF_TEXT_MAX);
  const line = await connect({ kind: 'unix', path: join(directory, 'serial') }, signal);
  line.onBytes = serial.push;
  line.start();
  stack.defer(() => line.destroy());
  const owned = stack.move();
  return {
    ...{ link, serial, events },
    get ended() {
      return end && endOf(tool, end);
    },
    run: (until) => link.call(QMP.resume, undefined, until),
    async screen(until) {
      const path = join(directory, 'screen.ppm');
      await link.call(QMP.saveScreen, { filename: path }, until);
      return pictureIn(files, path);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Undefined: it has no picture that can be shown. A guest chooses the mode of its screen, also a huge one. */
export async function pictureIn(files: FileSystem, path: string): Promise<Picture | undefined> {
  const found = await files.stat(path);
  if (found && found.size > PPM_LENGTH_MAX) return undefined;
  try {
    return decodePpm(await files.readFile(path, PPM_LENGTH_MAX));
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return undefined;
  }
}

function note(events: GuestEvents, name: string): void {
  if (name === 'RESET') events.resets++;
  if (name === 'GUEST_PANICKED' || name === 'GUEST_CRASHLOADED') events.panicked = true;
  if (name === 'SHUTDOWN') events.poweredOff = true;
}

function notStarted(tool: Tool, end: ToolEnd | undefined, cause?: unknown): SessionError {
  if (end && isMissing(end)) {
    const what = `this box has no ${QEMU}: apt-get install qemu-system-x86`;
    return new SessionError('UNSUPPORTED', what, { cause });
  }
  const why = end ? endOf(tool, end) : `it was not ready within ${START_MS / 1000} s`;
  return new SessionError('UNSUPPORTED', `QEMU does not start the machine: ${why}`, { cause });
}

/** Warnings stand before what it ended for. */
function endOf(tool: Tool, { code, stopped }: ToolEnd): string {
  const said = tool.stderr().trim().slice(-REASON_MAX);
  return said || (code === undefined ? (stopped ?? 'a signal ended it') : `exit code ${code}`);
}
