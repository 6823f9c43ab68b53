import { join } from 'node:path/posix';
import type { Box } from '../box/box.ts';
import type { Met } from '../box/store-memory.ts';
import { firstAdoption } from '../engine/operations/adoption.ts';
import type { Audit } from '../engine/audit/audit.ts';
import { listed } from '../engine/watch/alarm-rules.ts';
import type { Monitor } from '../engine/watch/monitor.ts';
import type { Engine } from '../engine/base/engine.ts';
import type { JobService } from '../engine/jobs/job-service.ts';
import { TOKENS_FILE } from '../engine/secrets/tokens.ts';
import { type Channel, CHANNELS, OUTBOX } from '../formats/store/service/alarm.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { ownIds } from '../sys/net/unix-peer.ts';
import type { World } from '../sys/world.ts';
import type { Log } from './log.ts';

/*
 * How the box's memory begins. What the previous release has left is adopted once, while the box has no memory:
 * later, an attacker with write access to the store, or to the pool, could put it there.
 */

const RECORD_LENGTH_MAX = 1024 * 1024;

/** A service whose own disk is full, or read-only, still serves its guests; what it cannot record is not adopted. */
export async function noted(log: Log, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    log('error', `the memory of the box: ${cause.message}`);
  }
}

/** `from`: the file of the previous release. */
export async function takeOverTokens(world: World, box: Box, from: string): Promise<void> {
  if (await box.isNew()) await takeOver(world, from, box.directory, [TOKENS_FILE]);
}

export async function meetStore({ box, memory, store }: Engine, log: Log): Promise<Met> {
  let met: Met = 'unknown';
  await noted(log, async () => {
    await box.prepare();
    met = await memory.meet();
    if (met === 'returned') {
      log('warning', `${store.directory} was away: its orders wait to be adopted`);
    }
    if (met === 'first') {
      await takeOver(store, store.directory, box.directory, ['lockdown.json', 'clock.json']);
      for (const channel of CHANNELS)
        await takeOverOutbox(store, { from: store.directory, box, channel });
    }
  });
  return met;
}

/**
 * Existing orders come from the previous release, and continue to run. The audit log and an alarm list them first:
 * this happens once.
 */
export async function adoptOnce(
  engine: Engine,
  {
    jobs,
    monitor,
    audit,
  }: {
    readonly jobs: JobService;
    readonly monitor: { readonly alarms: Pick<Monitor['alarms'], 'raise'> };
    readonly audit: Pick<Audit, 'begin'>;
  },
): Promise<void> {
  const { words, adopt } = await firstAdoption(engine, jobs);
  if (words.length === 0) return adopt();
  const message = `the first start with a memory of the box: it adopts ${listed(words)}`;
  const { pid, uid } = ownIds();
  const end = await audit.begin({ pid, uid, gids: [] }, 'store/adopt', { adopted: words });
  await monitor.alarms.raise({ kind: 'store-adopted', level: 'warning', message });
  await adopt();
  await end('done');
}

/** Takes over the unsent messages of the previous release. */
async function takeOverOutbox(
  world: World,
  { from, box, channel }: { readonly from: string; readonly box: Box; readonly channel: Channel },
): Promise<void> {
  const { files } = world;
  const [old, to] = [join(from, OUTBOX, channel), join(box.directory, OUTBOX, channel)];
  if (!(await files.stat(old))) return;
  const names = (await files.list(old)).filter((name) => name.endsWith('.json'));
  await takeOver(world, old, to, names);
  for (const name of names) await files.unlink(join(old, name));
}

async function takeOver(
  { files }: World,
  from: string,
  to: string,
  names: readonly string[],
): Promise<void> {
  for (const name of names) {
    if (!(await files.stat(join(from, name))) || (await files.stat(join(to, name)))) continue;
    await files.makeDirectory(to);
    const bytes = await files.readFile(join(from, name), RECORD_LENGTH_MAX);
    await putDurably(files, join(to, name), bytes);
  }
}
