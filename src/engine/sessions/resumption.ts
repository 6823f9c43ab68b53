import { sessionStatus } from '../../sessions/state/listed-sessions.ts';
import { isServed, readServed } from '../../sessions/state/served-sessions.ts';
import { asError } from '../../lib/as-error.ts';
import type { keyedTurns } from '../../lib/mutex.ts';
import type { Engine, SecretSource } from '../base/engine.ts';
import { firstFailure, kindOfFailure } from '../base/failures.ts';
import type { HeldSessions } from './held-sessions.ts';
import { servedOrder } from './orders.ts';
import { ownServed } from './own-served.ts';
import type { Finished, PlacedSessions } from './placed-sessions.ts';
import type { OnEvent } from './session-events.ts';

/** How soon a session that could not be resumed is tried again. */
const RETRY_MS = 15_000;
/** Sessions that are resumed at once: each reads a manifest and opens overlays. */
const RESUME_AT_ONCE = 4;

interface ResumptionParts {
  readonly held: HeldSessions;
  readonly turn: ReturnType<typeof keyedTurns>;
  readonly placed: Pick<PlacedSessions, 'isEnding' | 'finish'>;
  /** Ends of sessions that are under way, by session. Resolves with undefined if it was not done. */
  readonly finishing: Map<string, Promise<Finished | undefined>>;
}

/** Resumes the sessions that ran before, ends those that were being ended, and keeps trying. */
export function resumptionOf(
  engine: Engine,
  { held: { kept, closing, run }, turn, placed, finishing }: ResumptionParts,
  { secrets, onEvent }: { readonly secrets: SecretSource; readonly onEvent: OnEvent },
) {
  const { signal } = closing;
  const waiting = new Map<string, string>();
  let retrying: Promise<void> | undefined;

  /** Runs in its turn. */
  async function resume(id: string): Promise<void> {
    try {
      // It may have been started or stopped in the meantime.
      if (kept.has(id) || !(await isServed(engine.store, id))) return void waiting.delete(id);
      const served = await readServed(engine.store, id);
      // Another record may have been written in the meantime.
      if (!(await engine.memory.look()).isOurs(servedOrder(id, served))) {
        return void waiting.delete(id);
      }
      if (await isEnding(id)) return finishLater(id);
      const { tls } = served;
      const what = { kind: 'resume', session: id } as const;
      await run({ what, listen: undefined, nfs: undefined, tls }, secrets);
      waiting.delete(id);
      onEvent({ kind: 'resumed', session: id });
    } catch (thrown) {
      noteFailure(id, thrown);
    }
  }
  const isEnding = async (id: string): Promise<boolean> =>
    placed.isEnding((await sessionStatus(engine.store, id)).record);
  /** To keep one can take hours: neither other sessions nor the start of the service wait for it. */
  function finishLater(id: string): void {
    if (finishing.has(id)) return;
    finish(id, async () => {
      if (signal.aborted || kept.has(id) || !(await isServed(engine.store, id))) return undefined;
      const end = (await isEnding(id)) ? await placed.finish(id) : undefined;
      waiting.delete(id);
      return end;
    });
  }
  /** In its turn; what fails is tried again. */
  function finish(id: string, work: () => Promise<Finished | undefined>): void {
    const done = turn(id, work)
      .catch((thrown: unknown): undefined => {
        noteFailure(id, thrown);
        keepTrying();
      })
      .finally(() => finishing.get(id) === done && finishing.delete(id));
    finishing.set(id, done);
  }
  function noteFailure(id: string, thrown: unknown): void {
    if (signal.aborted) return;
    const cause = firstFailure(thrown);
    if (kindOfFailure(cause) === undefined) throw thrown;
    const reason = asError(cause).message;
    const before = waiting.get(id);
    waiting.set(id, reason);
    if (before !== reason) onEvent({ kind: 'waits', session: id, reason });
  }
  async function resumeAll(): Promise<void> {
    const ids = (await ownServed(engine)).filter((id) => !kept.has(id));
    for (const id of waiting.keys()) if (!ids.includes(id)) waiting.delete(id);
    const queue = ids.values();
    const lanes = Array.from({ length: RESUME_AT_ONCE }, async () => {
      for (const id of queue) {
        if (!signal.aborted && !finishing.has(id)) await turn(id, () => resume(id));
      }
    });
    await Promise.all(lanes);
  }
  /** The holder of a session or an address will release it: then no person should have to repeat the request. */
  async function retry(): Promise<void> {
    while (waiting.size > 0) {
      await engine.store.clock.sleep(RETRY_MS, signal);
      try {
        await resumeAll();
      } catch (cause) {
        // A disk that cannot be listed now may work in a while; other sessions run.
        if (kindOfFailure(firstFailure(cause)) === undefined) throw cause;
      }
    }
  }
  function keepTrying(): void {
    retrying ??= retry()
      .catch((cause: unknown) => {
        if (!signal.aborted) throw cause;
      })
      .finally(() => (retrying = undefined));
  }
  return {
    waiting,
    async resumeAll(): Promise<void> {
      await resumeAll();
      keepTrying();
    },
    finish,
    async ended(): Promise<void> {
      await Promise.all([retrying, ...finishing.values()]);
    },
  };
}
