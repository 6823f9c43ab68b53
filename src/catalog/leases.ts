import { join } from 'node:path/posix';
import { parseFields } from '../formats/store/json-record.ts';
import type { Store } from '../store/store.ts';
import { putDurably } from '../sys/put-durably.ts';
import { SystemError } from '../sys/system-error.ts';
import type { World } from '../sys/world.ts';
import { readRecord } from './read-record.ts';

/** Says that a recovery point is in use, until it is released: never by time. */
export interface Lease {
  readonly set: string;
  readonly point: string;
  /** For people: `session vm1-k3x9`. */
  readonly holder: string;
}

const RECORD_LENGTH_MAX = 16 * 1024;
const SUFFIX = '.json';
/** What is done in a turn takes some syncs of a disk, which may be busy. */
const TURN_WAIT_MS = 60_000;
const TURN_LOOK_MS = 20;

/**
 * For whoever looks whether a point is there and takes its lease, or looks for its leases and removes it: each
 * decides by what the other changes. Rejects BUSY.
 */
export async function leaseTurn(
  { files, clock }: World,
  store: Store,
  holder: string,
): Promise<AsyncDisposable> {
  const start = clock.monotonicMs();
  for (;;) {
    try {
      return await files.lock(join(store.directory, 'leases', 'lock'), holder);
    } catch (cause) {
      const isBusy = cause instanceof SystemError && cause.code === 'BUSY';
      if (!isBusy || clock.monotonicMs() - start > TURN_WAIT_MS) throw cause;
    }
    await clock.sleep(TURN_LOOK_MS);
  }
}

function pathOf(store: Store, id: string): string {
  return join(store.directory, 'leases', id + SUFFIX);
}

/** `id` names the lease; taking it again changes nothing. */
export async function takeLease(
  { files }: World,
  store: Store,
  id: string,
  lease: Lease,
): Promise<void> {
  await putDurably(files, pathOf(store, id), Buffer.from(`${JSON.stringify(lease)}\n`));
}

export async function releaseLease({ files }: World, store: Store, id: string): Promise<void> {
  if (await files.stat(pathOf(store, id))) await files.unlink(pathOf(store, id));
  // Also where it is gone already: a process that was killed may have got no further.
  await files.syncDirectory(join(store.directory, 'leases'));
}

export async function leasesOf({ files }: World, store: Store): Promise<Lease[]> {
  const directory = join(store.directory, 'leases');
  const leases: Lease[] = [];
  for (const name of await files.list(directory)) {
    if (!name.endsWith(SUFFIX)) continue;
    leases.push(
      await readRecord(files, join(directory, name), RECORD_LENGTH_MAX, (bytes) => {
        const fields = parseFields(bytes);
        return {
          set: fields.text('set'),
          point: fields.text('point'),
          holder: fields.text('holder'),
        };
      }),
    );
  }
  return leases;
}
