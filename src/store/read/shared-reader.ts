import type { BlockReader } from './block-reader.ts';

/** Reads with others; disposing leaves them the reader. */
export interface BorrowedReader extends AsyncDisposable {
  readonly reader: BlockReader;
}

/**
 * One reader for all who read at the same time, so that its cache and its threads are there once however many
 * sessions run. Opened for the first, closed behind the last: then its memory is given back.
 */
export function sharedReader(open: () => Promise<BlockReader>): () => Promise<BorrowedReader> {
  let shared: Promise<BlockReader> | undefined;
  let users = 0;

  function leave(): boolean {
    users--;
    if (users > 0) return false;
    shared = undefined;
    return true;
  }
  return async () => {
    users++;
    try {
      const reader = await (shared ??= open());
      return {
        reader,
        async [Symbol.asyncDispose]() {
          if (leave()) await reader[Symbol.asyncDispose]();
        },
      };
    } catch (cause) {
      leave();
      throw cause;
    }
  };
}
