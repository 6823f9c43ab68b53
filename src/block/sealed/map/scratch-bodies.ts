import { allDone } from '../../../lib/all-done.ts';
import type { File } from '../../../sys/files/file-system.ts';
import { BlockError } from '../../block-error.ts';

/** A body in the scratch file. */
export interface ScratchSlot {
  readonly index: number;
  /** A checksum of its words: a mismatch means that the file did not return what was written. */
  readonly sum: number;
}

/** Bodies in a file that lives as long as this process. It is created for the first one, and never synced. */
export interface ScratchBodies extends AsyncDisposable {
  /** One call at a time, which copies the bodies at once. A failure uses up no slot. */
  write(bodies: readonly Uint32Array[]): Promise<ScratchSlot[]>;
  /** Rejects IO if the file does not return what was written. */
  read(slot: ScratchSlot, into: Uint32Array): Promise<void>;
  free(slot: ScratchSlot): void;
}

export function scratchBodies(length: number, scratch: () => Promise<File>): ScratchBodies {
  const bytes = 4 * length;
  const spare: number[] = [];
  let end = 0;
  let copy = new Uint32Array(0);
  let opening: Promise<File> | undefined;

  async function open(): Promise<File> {
    opening ??= scratch();
    try {
      return await opening;
    } catch (error) {
      opening = undefined;
      throw error;
    }
  }
  return {
    async write(bodies) {
      const indexes = bodies.map(() => spare.pop() ?? end++).toSorted((a, b) => a - b);
      if (copy.length < bodies.length * length) copy = new Uint32Array(bodies.length * length);
      bodies.forEach((body, at) => copy.set(body, at * length));
      const slots = bodies.map((body, at) => ({ index: indexes[at]!, sum: sumOf(body) }));
      try {
        const file = await open();
        await allDone(
          stretches(indexes).map(({ from, to }) => {
            const part = new Uint8Array(copy.buffer, from * bytes, (to - from) * bytes);
            return file.write(part, indexes[from]! * bytes);
          }),
        );
      } catch (error) {
        spare.push(...indexes);
        throw error;
      }
      return slots;
    },
    async read({ index, sum }, into) {
      const file = await open();
      const count = await file.read(new Uint8Array(into.buffer), index * bytes);
      if (count === bytes && sumOf(into) === sum) return;
      const where = `${file.path}, bytes ${index * bytes} to ${(index + 1) * bytes}`;
      throw new BlockError(
        'IO',
        `${where}: the scratch file of the overlay does not hold what was written there. ` +
          'Nothing stored is damaged by that: check the disk, then start the service again.',
      );
    },
    free({ index }) {
      spare.push(index);
    },
    async [Symbol.asyncDispose]() {
      await (await opening)?.[Symbol.asyncDispose]();
    },
  };
}

/** Ranges of the list in which the numbers are consecutive. */
function stretches(ascending: readonly number[]): { from: number; to: number }[] {
  const found: { from: number; to: number }[] = [];
  ascending.forEach((value, at) => {
    if (at > 0 && ascending[at - 1]! + 1 === value) found.at(-1)!.to = at + 1;
    else found.push({ from: at, to: at + 1 });
  });
  return found;
}

/** Differs if any word differs: each step is reversible. */
function sumOf(body: Uint32Array): number {
  let sum = 0;
  for (const word of body) sum = Math.imul(sum ^ word, 0x9e3779b1);
  return sum;
}
