import type { WritableBlockDevice } from '../../block/block-device.ts';
import { BlockError } from '../../block/block-error.ts';
import { COMMAND_FLAGS, type Request } from '../../formats/wire/nbd.ts';
import { asError } from '../../lib/as-error.ts';
import type { BufferPool } from '../../lib/buffer-pool.ts';
import type { MemoryShare } from '../../lib/memory-budget.ts';

/**
 * A write whose bytes come in parts, because memory for all of them was missing. Each part is written as it comes.
 */
export interface PartialWrite {
  /** Writes a part, which is lent until it is written. */
  put(part: Uint8Array<ArrayBuffer>, at: number): void;
  /** Call it after the last part. */
  end(): void;
  /** Call it when the other parts will not come. */
  drop(): void;
  /** Resolves once everything is written; rejects with the first failure. */
  readonly done: Promise<void>;
}

interface PartialWriteOptions {
  /** The memory and the buffers of the parts are given back to these two. */
  readonly memory: MemoryShare;
  readonly payloads: BufferPool;
  /** Counts a part as under way until the returned function is called. */
  readonly begin: (length: number) => () => void;
}

export function partialWrite(
  to: WritableBlockDevice,
  { offset, flags }: Request,
  { memory, payloads, begin }: PartialWriteOptions,
): PartialWrite {
  const all = Promise.withResolvers<void>();
  let failure: Error | undefined;
  let open = 1;

  function close(): void {
    if (--open === 0) all.resolve();
  }
  async function finish(): Promise<void> {
    await all.promise;
    if (failure) throw failure;
    if ((flags & COMMAND_FLAGS.fua) !== 0) await to.flush();
  }
  return {
    put(part, at) {
      open++;
      const end = begin(part.length);
      void to
        .write(part, offset + at, 'cached')
        .catch((cause: unknown) => (failure ??= asError(cause)))
        .then(() => {
          memory.give(part.length);
          payloads.give(part);
          end();
          close();
        });
    },
    end: close,
    drop() {
      failure ??= new BlockError('CLOSED', 'the write was not completed');
      close();
    },
    done: finish(),
  };
}
