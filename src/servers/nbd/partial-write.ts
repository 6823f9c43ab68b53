import type { WritableBlockDevice } from '../../block/block-device.ts';
import { BlockError } from '../../block/block-error.ts';
import { COMMAND_FLAGS, type Request } from '../../formats/wire/nbd.ts';
import { asError } from '../../lib/as-error.ts';
import type { BufferPool } from '../../lib/buffer-pool.ts';
import type { MemoryShare } from '../../lib/memory-budget.ts';

/** A write whose bytes come in parts, where there was no memory for all of them. Each is written as it comes. */
export interface PartialWrite {
  /** The part is used until it is written. */
  put(part: Uint8Array<ArrayBuffer>, at: number): void;
  /** All parts were put. */
  end(): void;
  /** The others will not come. */
  drop(): void;
  /** All is written; rejects with what failed first. */
  readonly done: Promise<void>;
}

interface PartialWriteOptions {
  /** Both get back what the parts took. */
  readonly memory: MemoryShare;
  readonly payloads: BufferPool;
  /** Counts a part as under way, until what is answered is called. */
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
