import { callerWords } from '../engine/base/caller.ts';
import { httpApi } from '../engine/server/http-api.ts';
import { noSecrets } from '../engine/base/engine.ts';
import { inheritedDescriptors } from '../sys/systemd/inherited-descriptors.ts';
import { serveHttp } from '../sys/net/http-server.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { type UnixPeer, userId } from '../sys/net/unix-peer.ts';
import type { World } from '../sys/world.ts';
import { faultLog, type Log } from './log.ts';
import type { Handlers } from '../engine/base/call.ts';

/*
 * A small service with root's rights, for some operations: it carries them out for root and for holdfastd, which has
 * checked and recorded the request, and ends when it is no longer used.
 */
export interface SmallServiceOptions {
  readonly world: World;
  readonly log: Log;
  /** `FileDescriptorName=` of its socket unit. */
  readonly socket: string;
  readonly handlers: Partial<Handlers>;
  /** Whether it must stay although no requests come. */
  readonly isBusy: () => boolean;
  /** When aborted, it ends once all requests have been answered. */
  readonly signal?: AbortSignal;
}

/** The user of holdfastd. */
const SERVICE_USER = 'holdfast';
/** Longer than the interval between two requests of a console. */
const IDLE_MS = 20_000;
const VERSION = '1';

/** Runs until no request has come for a while. */
export async function runSmallService(options: SmallServiceOptions): Promise<void> {
  const { world, log, socket, handlers, isBusy, signal } = options;
  const fd = inheritedDescriptors(process.env).get(socket)?.[0];
  if (fd === undefined) {
    throw new SystemError('FAILED', `systemd gave no socket: systemctl start its .socket unit`);
  }
  const { clock } = world;
  const answer = httpApi({
    ...{ clock, version: VERSION, secrets: noSecrets, access, handlers },
    onFault: faultLog(log),
    // holdfastd, which forwards the request, has checked these.
    checkAllowed() {},
    checkPasskey: undefined,
    async audited(caller, what) {
      log('notice', `${what} for ${callerWords(caller)}`);
      return async (outcome, reason) => {
        if (outcome === 'failed') log('warning', `${what} failed: ${reason ?? ''}`);
      };
    },
  });
  const seen = { underWay: 0, lastMs: clock.monotonicMs() };
  await using server = await serveHttp({
    at: { kind: 'fd', fd },
    knows: (peer) => access(peer) !== undefined,
    async onRequest(http) {
      seen.underWay++;
      try {
        await answer(http);
      } finally {
        seen.underWay--;
        seen.lastMs = clock.monotonicMs();
      }
    },
    onError(error) {
      throw error;
    },
  });
  const isIdle = (): boolean =>
    seen.underWay === 0 && !isBusy() && clock.monotonicMs() - seen.lastMs >= IDLE_MS;
  const isOver = (): boolean => signal?.aborted === true || isIdle();
  while (!isOver()) {
    await clock.sleep(IDLE_MS / 4, signal).catch(() => {});
  }
  // Later clients wait at systemd's socket, and start the next instance.
  await server.drain();
}

function access({ uid }: UnixPeer): 'change' | undefined {
  return uid === 0 || uid === userId(SERVICE_USER) ? 'change' : undefined;
}
