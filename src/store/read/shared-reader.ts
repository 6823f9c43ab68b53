import type { BlockReader } from './block-reader.ts';

/** A share of the reader; disposing it keeps the reader open for others. */
export interface BorrowedReader extends AsyncDisposable {
  readonly reader: BlockReader;
}

/**
 * One reader for all that read at the same time, so that there is one cache and one set of threads however many
 * sessions run. Opened for the first user, closed after the last: then its memory is freed.
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
