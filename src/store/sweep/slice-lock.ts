import { lockStore, SWEEP_HOLDER } from '../directory/store-lock.ts';
import type { Store } from '../directory/store.ts';
import { StoreError } from '../packs/store-error.ts';

export interface SliceOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called if it has to wait for the writer that holds the store; `busy` names it. */
  readonly onWait?: (busy: string) => void;
  /** Called before pieces of work, without the lock: resolves when guests leave the disk alone, or soon in any case. */
  readonly pause?: (() => Promise<void>) | undefined;
}

const LOOK_MS = 500;

/** The store's lock for a slice of a sweep. Waits for as long as another process holds it. */
export async function lockSlice(
  store: Store,
  { signal, onWait }: SliceOptions,
): Promise<AsyncDisposable> {
  for (let tries = 0; ; tries++) {
    signal?.throwIfAborted();
    try {
      return await lockStore(store, SWEEP_HOLDER);
    } catch (cause) {
      if (!(cause instanceof StoreError) || cause.code !== 'BUSY') throw cause;
      if (tries === 0) onWait?.(cause.message);
    }
    await store.clock.sleep(LOOK_MS, signal);
  }
}
