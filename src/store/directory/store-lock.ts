import { join } from 'node:path/posix';
import { SystemError } from '../../sys/base/system-error.ts';
import { refuseLinks } from './own-directories.ts';
import type { Store } from './store.ts';
import { StoreError } from '../packs/store-error.ts';
import { mendStoreRecord } from './store-record.ts';

/**
 * Held by each process that changes the store in any way. Rejects BUSY, naming the current holder; UNSUPPORTED,
 * naming the feature, where this release may only read the store; CORRUPT where a link would lead writes elsewhere.
 */
export async function lockStore(store: Store, holder: string): Promise<AsyncDisposable> {
  const { files } = store;
  // Checked before the lock's file is made: a store that may not be changed stays untouched.
  store.checkWritable();
  await refuseLinks(store);
  let lock: AsyncDisposable;
  try {
    lock = await files.lock(join(store.directory, 'lock'), holder);
  } catch (cause) {
    if (!(cause instanceof SystemError) || cause.code !== 'BUSY') throw cause;
    throw new StoreError('BUSY', cause.message.replace('/lock is', ' is'), { cause });
  }
  await using stack = new AsyncDisposableStack();
  stack.use(lock);
  // Another process may have upgraded the store since it was opened.
  store.renew(await mendStoreRecord(files, store.directory));
  store.checkWritable();
  return stack.move();
}
