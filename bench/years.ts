import { benchIndex } from './index-memory.ts';

/** What years do to a store. Each part makes a store of its own. `tib`: how large the index grows, one after another. */
export async function benchYears(work: string, tib: readonly number[]): Promise<void> {
  await benchIndex(work, tib);
}
