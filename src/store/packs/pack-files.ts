import { dirname, join } from 'node:path/posix';
import { FormatError } from '../../formats/format-error.ts';
import type { File } from '../../sys/files/file-system.ts';
import type { World } from '../../sys/world.ts';
import { readLastPack, writeLastPack } from './last-pack.ts';
import { movedFiles } from './moved-frames.ts';
import { nodeCopies } from './node-copies.ts';
import { packBuilder } from './pack-builder.ts';
import { readFooter, readSummary, walkedContents } from './pack-contents.ts';
import { listPacks, packPath } from './pack-path.ts';
import { packReads } from './pack-reads.ts';
import type { PackFooter, PackStore } from './pack-store.ts';
import { referenceFiles } from './reference-lists.ts';
import { sweptFiles } from './swept-packs.ts';
import { wantedMarks } from './wanted-marks.ts';

/** Sizes requested at once. */
const STATS_MAX = 32;

/**
 * Packs as files. `directory`: the store's `packs`; the marks and the number of the last pack lie beside it. `id`: the
 * store's.
 */
export function packFiles(
  { files, clock }: Pick<World, 'files' | 'clock'>,
  directory: string,
  id: string,
): PackStore {
  const store = dirname(directory);
  const { handles, ...reads } = packReads(files, directory, clock);
  const copies = nodeCopies(files, store, id);
  const moved = movedFiles(files, directory);
  const references = referenceFiles(files, directory);
  const wanted = wantedMarks(files, join(store, 'wanted'));

  /** Names the pack in what `read` finds wrong with it. */
  async function readEnd<T>(pack: number, read: (from: File) => Promise<T>): Promise<T> {
    try {
      return await handles.use(pack, read);
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      const message = `${packPath(directory, pack)}: ${cause.message}`;
      throw new FormatError(cause.code, message, { cause });
    }
  }
  const footer = (pack: number): Promise<PackFooter> => readEnd(pack, readFooter);
  return {
    ...reads,
    directory,
    path: (pack) => packPath(directory, pack),
    list: () => listPacks(files, directory, 'pack'),
    async sizes() {
      const numbers = await listPacks(files, directory, 'pack');
      const sizes = new Map<number, number>();
      for (let at = 0; at < numbers.length; at += STATS_MAX) {
        const some = numbers.slice(at, at + STATS_MAX);
        const found = await Promise.all(some.map((pack) => files.stat(packPath(directory, pack))));
        for (const [index, status] of found.entries()) {
          if (status?.kind === 'file') sizes.set(some[index]!, status.size);
        }
      }
      return sizes;
    },
    footer,
    summary: (pack) => readEnd(pack, readSummary),
    async contents(pack) {
      try {
        return { ...(await footer(pack)), damage: undefined };
      } catch (cause) {
        if (!(cause instanceof FormatError)) throw cause;
        const damage = cause.message;
        return handles.use(pack, (file) => walkedContents(file, damage));
      }
    },
    build: (header) =>
      packBuilder(files, packPath(directory, header.number), header, async () => {
        if (header.kind === 'node') await copies.copy(header.number);
      }),
    async draft(header) {
      const { packDraft } = await import('./pack-draft.ts');
      return packDraft(files, directory, header, async (number) => {
        if (header.kind === 'node') await copies.copy(number);
      });
    },
    removeDrafts: async () => (await import('./pack-draft.ts')).removeDrafts(files, directory),
    unsealed: () => listPacks(files, directory, 'pack.open'),
    // Loaded only where a process was killed: the start of a guest waits for all the others.
    salvage: async () => (await import('./salvage.ts')).salvageOpenPacks(files, directory),
    async settle(packs) {
      const groups = new Set([...packs].map((pack) => dirname(packPath(directory, pack))));
      for (const path of [directory, ...groups]) await files.syncDirectory(path);
    },
    readLast: () => readLastPack(files, store),
    writeLast: (last) => writeLastPack(files, store, last),
    moved,
    references,
    swept: sweptFiles(files, directory, (numbers) => copies.drop(numbers)),
    wanted,
    want: (frame, hurt) => wanted.add(frame, hurt),
    [Symbol.asyncDispose]: () => handles[Symbol.asyncDispose](),
  };
}
