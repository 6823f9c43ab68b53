import { join } from 'node:path/posix';
import type { Store } from '../../store/directory/store.ts';
import { tpmStateName } from '../../hypervisors/base/swtpm.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { asGuest, giveTo, type GuestUser } from '../../sys/process/guest-user.ts';
import { startTool, type ToolEnd } from '../../sys/process/tool.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { SessionMachine } from '../guest/session-machine.ts';

/* The TPM of a machine, by swtpm with the state that the recovery point has: a copy, which the guest may change. */

export interface RunningTpm extends AsyncDisposable {
  readonly socket: string;
}

export interface TpmOptions {
  readonly machine: SessionMachine | undefined;
  readonly directory: string;
  readonly user: GuestUser | undefined;
  readonly signal: AbortSignal;
  readonly onWithout: (what: string) => void;
}

const LOOK_MS = 20;
/** It starts within milliseconds. */
const START_MS = 10_000;

/** Undefined: the machine has none, or this boot does without it. */
export async function startTpm(
  { files, clock }: Store,
  { machine, directory, user, signal, onWithout }: TpmOptions,
): Promise<RunningTpm | undefined> {
  const tpm = machine?.machine?.tpm;
  if (!tpm) return undefined;
  const state = machine?.tpmState;
  if (!state) {
    onWithout('its TPM: the recovery point does not have its state');
    return undefined;
  }
  const place = join(directory, 'tpm');
  await files.makeDirectory(place, 'private');
  const file = join(place, tpmStateName(tpm.version));
  await putDurably(files, file, state);
  if (user) for (const path of [place, file]) giveTo(user, path);
  const socket = join(directory, 'tpm.sock');
  const args = [
    ...['socket', ...(tpm.version === '1.2' ? [] : ['--tpm2'])],
    ...['--tpmstate', `dir=${place}`, '--ctrl', `type=unixio,path=${socket}`],
  ];
  try {
    await using stack = new AsyncDisposableStack();
    const tool = stack.use(await startTool(...asGuest(user, 'swtpm', args)));
    tool.stdout.resume();
    let end: ToolEnd | undefined;
    void tool.ended.then((it) => (end = it));
    const until = clock.monotonicMs() + START_MS;
    while (!(await files.stat(socket))) {
      if (end || clock.monotonicMs() > until) {
        const why = end?.stderr.trim().slice(-300) ?? 'it was not ready in time';
        throw new SystemError('FAILED', why);
      }
      await clock.sleep(LOOK_MS, signal);
    }
    const owned = stack.move();
    return { socket, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    onWithout(`its TPM: swtpm does not run here (${cause.message})`);
    return undefined;
  }
}
