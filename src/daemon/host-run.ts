import { bareDesk } from '../control/bare-desk.ts';
import { door } from '../control/door.ts';
import { firstFailure, kindOfFailure } from '../control/failures.ts';
import type { Desk } from '../control/handlers.ts';
import { hostWork, revertNetwork } from '../control/host-work.ts';
import { noSecrets } from '../control/house.ts';
import { EXIT_CODES } from '../protocol/failure.ts';
import { isHostOperation } from '../protocol/host-operations.ts';
import { inheritedDescriptors } from '../sys/inherited-descriptors.ts';
import { serveHttp } from '../sys/http-server.ts';
import { SystemError } from '../sys/system-error.ts';
import { type UnixPeer, userId } from '../sys/unix-peer.ts';
import { realWorld, type World } from '../sys/world.ts';
import { type Log, lineLog } from './log.ts';

/*
 * The small service with root's rights (systemd/holdfast-hostd.service): it does what the operations in
 * protocol/host-operations.ts say, for root and for holdfastd, who has checked who asks and has noted it, and ends when
 * nobody asks any more.
 */

/** `FileDescriptorName=` in systemd/holdfast-hostd.socket. */
const SOCKET = 'host';
/** The user of holdfastd. */
const SERVICE_USER = 'holdfast';
/** Longer than between two looks of a console. */
const IDLE_MS = 20_000;
const VERSION = '1';

/**
 * Answers the exit code. `--revert` rolls an unconfirmed change of the network back, `--revert-files` does so before
 * networkd runs.
 */
export async function main(words: readonly string[]): Promise<number> {
  const world = realWorld();
  const journal = process.env['JOURNAL_STREAM'] !== undefined;
  const log = lineLog(world.clock, { journal, write: (line) => void process.stderr.write(line) });
  const [word, ...more] = words;
  try {
    if (more.length > 0) return usage(log);
    if (word === undefined) await serve(world, log);
    else if (word === '--revert' || word === '--revert-files') {
      log('warning', 'a change of the network was not confirmed: it is rolled back');
      await revertNetwork(world, word === '--revert-files');
    } else return usage(log);
  } catch (error) {
    const cause = firstFailure(error);
    const kind = kindOfFailure(cause);
    if (kind === undefined) throw cause;
    log('error', (cause as Error).message);
    return EXIT_CODES[kind];
  }
  return 0;
}

function usage(log: Log): number {
  log(
    'error',
    'usage: host-main.ts [--revert | --revert-files]: see systemd/holdfast-hostd.service',
  );
  return EXIT_CODES.usage;
}

/** Until nobody has asked for a while. */
async function serve(world: World, log: Log): Promise<void> {
  const fd = inheritedDescriptors(process.env).get(SOCKET)?.[0];
  if (fd === undefined) {
    throw new SystemError('FAILED', 'there is no socket: systemctl start holdfast-hostd.socket');
  }
  const { clock } = world;
  const answer = door({
    ...{ clock, version: VERSION, secrets: noSecrets, access, offers: isHostOperation },
    desk: deskOf(world),
    async audited({ uid, pid }, what) {
      log('notice', `${what} for user ${uid} (process ${pid})`);
      return async (outcome, reason) => {
        if (outcome === 'failed') log('warning', `${what} failed: ${reason ?? ''}`);
      };
    },
  });
  const seen = { underWay: 0, lastMs: clock.monotonicMs() };
  await using server = await serveHttp({
    at: { kind: 'fd', fd },
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
  while (seen.underWay > 0 || clock.monotonicMs() - seen.lastMs < IDLE_MS) {
    await clock.sleep(IDLE_MS / 4);
  }
  // Who comes now waits at systemd's socket, and starts the next one.
  await server.drain();
}

function access({ uid }: UnixPeer): 'change' | undefined {
  return uid === 0 || uid === userId(SERVICE_USER) ? 'change' : undefined;
}

function deskOf(world: World): Desk {
  return { ...bareDesk('FAILED', 'only holdfastd does that'), host: hostWork(world) };
}
