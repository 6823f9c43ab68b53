import { join } from 'node:path/posix';
import { SystemError } from '../../sys/base/system-error.ts';
import { refuseLinks } from './own-directories.ts';
import type { Store } from './store.ts';
import { StoreError } from '../packs/store-error.ts';
import { mendStoreRecord, readStoreRecord } from './store-record.ts';

/** The name under which a sweep holds the lock: for a second at most, so that others wait for it. */
export const SWEEP_HOLDER = 'store sweep';
/** The name under which a scrub holds it for one second copy at a time. */
export const SCRUB_HOLDER = 'store scrub';
/** A slice takes a second; a disk that is busy may need far longer for its syncs. */
const SLICE_WAIT_MS = 60_000;
/** On a full disk the name of the holder is missing. */
const UNNAMED_WAIT_MS = 2000;
/** Less than a sweep pauses between its slices. */
const LOOK_MS = 10;

/**
 * Held by each process that changes the store, except where points are forgotten. Waits while a sweep has its short
 * turn. Rejects BUSY, naming the current holder; UNSUPPORTED, naming the feature, where this release may only read the
 * store; CORRUPT where a link would lead writes elsewhere.
 */
export async function lockStore(store: Store, holder: string): Promise<AsyncDisposable> {
  const { files } = store;
  // Checked before the lock's file is made: a store that may not be changed stays untouched.
  store.checkWritable();
  await refuseLinks(store);
  await using stack = new AsyncDisposableStack();
  stack.use(await lockAfterSlice(store, holder));
  // Another process may have upgraded the store since it was opened.
  store.renew(await mendStoreRecord(files, store.directory));
  store.checkWritable();
  return stack.move();
}

async function lockAfterSlice(store: Store, holder: string): Promise<AsyncDisposable> {
  const { files, clock } = store;
  const start = clock.monotonicMs();
  for (;;) {
    try {
      return await files.lock(join(store.directory, 'lock'), holder);
    } catch (cause) {
      if (!(cause instanceof SystemError) || cause.code !== 'BUSY') throw cause;
      if (clock.monotonicMs() - start >= patience(cause.message)) {
        throw new StoreError('BUSY', cause.message.replace('/lock is', ' is'), { cause });
      }
    }
    await clock.sleep(LOOK_MS);
  }
}

function patience(busy: string): number {
  const isSlice = [SWEEP_HOLDER, SCRUB_HOLDER].some((it) => busy.includes(`is in use by ${it}`));
  if (isSlice) return SLICE_WAIT_MS;
  return busy.endsWith('is in use by another process') ? UNNAMED_WAIT_MS : 0;
}

/**
 * For a change without the store's lock, in a turn of its own (`leaseTurn`): it is made beside a backup, or a sweep,
 * that holds the store. Rejects as `lockStore` does, but not BUSY.
 */
export async function requireWritable(store: Store): Promise<void> {
  await refuseLinks(store);
  store.renew((await readStoreRecord(store.files, store.directory)).record);
  store.checkWritable();
}
