import { resolve } from 'node:path/posix';
import type { GuestOptions, RecoverRequest } from '../../engine/sessions/run-session.ts';
import type { ReadySession } from '../../operations/nouns/session.ts';
import type { Context } from './command.ts';
import { UsageError } from './command-errors.ts';
import { Interrupted } from './interrupted.ts';
import { readyText } from '../../client/ready-text.ts';

/**
 * Runs a session in the service. It stays there regardless of this command; only Ctrl-C, and the end of a guest that
 * was booted here, stop it.
 */
export async function runServed(
  { what, listen, tls, nfs }: RecoverRequest,
  how: 'attached' | 'detached' | Omit<GuestOptions, 'signal'>,
  context: Context,
): Promise<void> {
  const { call, output, signal } = context;
  const reached = {
    listen: listen?.replace(/^unix:(.+)$/s, unixOf),
    tls: tls && located(tls),
    nfs,
  };
  if (typeof how === 'object' && what.kind === 'resume') await refusePlaced(what.session, context);
  const ready: ReadySession =
    what.kind === 'point'
      ? await call('session/start', { point: what.point, whenFull: what.whenFull, ...reached })
      : await call('session/resume', { session: what.session, ...reached });
  const { session } = ready;
  if (how === 'detached') {
    const serving = `The service runs it; "holdfast session stop ${session}" ends it.`;
    return output.result(ready, () => readyText(ready, serving));
  }
  if (how === 'attached') {
    output.result(ready, () => readyText(ready));
    if (!(await attended(session, context)))
      return output.say(`Session ${session} continues to run.`);
  } else {
    output.say(`Session ${session} of ${ready.point}`);
    if (output.json) output.result(ready, () => '');
    await using stack = new AsyncDisposableStack();
    stack.defer(() => stopped(session, context));
    const { bootReady } = await import('../../engine/sessions/run-session.ts');
    await bootReady(ready, { ...how, signal });
  }
  output.say(`Session ${session} can be resumed: holdfast recover --resume ${session}`);
}

/** Two guests that write to the same disks would destroy their file systems. */
async function refusePlaced(session: string, { call }: Context): Promise<void> {
  const { placed } = await call('session/show', { session });
  if (!placed) return;
  const what = `session ${session} has a machine on hypervisor ${placed.hypervisor}`;
  throw new UsageError(`--boot: ${what}, and no second one can run on its disks: leave --boot out`);
}

/** False: the terminal has gone, and the session continues. */
async function attended(session: string, context: Context): Promise<boolean> {
  const { call, signal } = context;
  try {
    await call('session/attend', { session, until: 'stopped' });
  } catch (cause) {
    if (!signal.aborted) throw cause;
    if (signal.reason instanceof Interrupted && signal.reason.isHungUp) return false;
    await stopped(session, context);
  }
  return true;
}

/** Stops the session, although this command was interrupted. */
async function stopped(session: string, { callOn }: Context): Promise<void> {
  await callOn(new AbortController().signal)('session/stop', { session });
}

function unixOf(_listen: string, path: string): string {
  return `unix:${resolve(path)}`;
}

function located(tls: NonNullable<RecoverRequest['tls']>) {
  return tls.kind === 'psk'
    ? { ...tls, path: resolve(tls.path) }
    : { ...tls, directory: resolve(tls.directory) };
}
