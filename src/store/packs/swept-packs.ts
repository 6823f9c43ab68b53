import { dirname, join } from 'node:path/posix';
import {
  DEAD_LENGTH_MAX,
  type DeadFrames,
  decodeDead,
  encodeDead,
  isDead,
} from '../../formats/store/packs/dead.ts';
import type { PackEntry } from '../../formats/store/packs/pack.ts';
import type { ListedPack } from '../../formats/store/packs/reference-list.ts';
import {
  decodeSweepMark,
  encodeSweepMark,
  SWEEP_MARK_LENGTH_MAX,
} from '../../formats/store/packs/sweep-mark.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { deadPath, listPacks, packPath, referencesPath } from './pack-path.ts';
import {
  type ListDamage,
  listRemoved,
  mendRemoved,
  readRemoved,
  type RemovedPacks,
} from './removed-packs.ts';

/** What sweeps have removed: frames of packs, and whole packs. */
export interface SweptPacks {
  /** Packs with dead frames, ascending. */
  listDead(): Promise<number[]>;
  /** The dead frames of a pack; undefined: there are none. Rejects FormatError if the record is damaged. */
  dead(pack: ListedPack): Promise<DeadFrames | undefined>;
  /** The path of that record, for people. */
  deadPath(pack: number): string;
  /** Packs that are gone because nothing was needed in them. */
  removed(): Promise<RemovedPacks>;
  /**
   * Another text after each change of the above: an index that has another one names frames that are gone. Empty:
   * nothing was ever swept. Rejects FormatError if it is damaged.
   */
  mark(): Promise<string>;
  /** The path of the mark, for people. */
  readonly markPath: string;

  /*
   * Only for the process that holds the store's lock. Each is durable once it resolves.
   */
  writeMark(mark: string): Promise<void>;
  writeDead(pack: ListedPack, dead: DeadFrames): Promise<void>;
  /** Gives back the whole 4 KiB pages of these ranges of a pack, as far as the file system can do that. */
  giveBack(pack: number, ranges: readonly Range[]): Promise<void>;
  /** Removes packs, and what lies beside them. */
  remove(packs: readonly number[]): Promise<void>;
  /** Lists packs that are gone as removed. */
  list(packs: readonly number[]): Promise<void>;
  /** Writes a list of `removed` again of which one copy is damaged. */
  mend(damage: Pick<ListDamage, 'group'>): Promise<void>;
}

export interface Range {
  readonly start: number;
  readonly end: number;
}

/** The entries of a pack that are not dead. Rejects FormatError if it is not known which are. */
export async function livingEntries(
  { swept }: { readonly swept: SweptPacks },
  pack: number,
  { entries, entriesCrc }: { readonly entries: readonly PackEntry[]; readonly entriesCrc: number },
): Promise<readonly PackEntry[]> {
  const dead = await swept.dead({ pack, entriesCrc });
  return dead ? entries.filter((_, at) => !isDead(dead, at)) : entries;
}

const PAGE_LENGTH = 4096;

/** The whole pages in a range; empty or negative: there is none. */
export function pageRange({ start, end }: Range): Range {
  return {
    start: Math.ceil(start / PAGE_LENGTH) * PAGE_LENGTH,
    end: Math.floor(end / PAGE_LENGTH) * PAGE_LENGTH,
  };
}

const SWEEP_MARK = 'sweep-mark.json';

/** `directory`: the store's `packs`; the mark lies beside it. `whenRemoved`: awaited once packs are gone for good. */
export function sweptFiles(
  files: FileSystem,
  directory: string,
  whenRemoved: (packs: readonly number[]) => Promise<void>,
): SweptPacks {
  const markPath = join(dirname(directory), SWEEP_MARK);

  return {
    listDead: () => listPacks(files, directory, 'dead'),
    async dead(pack) {
      const path = deadPath(directory, pack.pack);
      if (!(await files.stat(path))) return undefined;
      return decodeDead(await files.readFile(path, DEAD_LENGTH_MAX), pack);
    },
    deadPath: (pack) => deadPath(directory, pack),
    removed: () => readRemoved(files, directory),
    async mark() {
      if (!(await files.stat(markPath))) return '';
      return decodeSweepMark(await files.readFile(markPath, SWEEP_MARK_LENGTH_MAX));
    },
    markPath,
    writeMark: (mark) => putDurably(files, markPath, encodeSweepMark(mark), 'shared'),
    writeDead: (pack, dead) =>
      putDurably(files, deadPath(directory, pack.pack), encodeDead(pack, dead), 'shared'),
    async giveBack(pack, ranges) {
      await using file = await files.open(packPath(directory, pack), 'write');
      for (const { start, end } of ranges.map(pageRange)) {
        if (end > start) await file.punchHole(start, end - start);
      }
      await file.sync();
    },
    async remove(packs) {
      await listRemoved(files, directory, packs);
      const of = new Set<string>();
      for (const pack of packs) {
        // The pack first: if a power cut brings a part of them back, it is listed, and nothing refers to it.
        for (const at of [packPath, referencesPath, deadPath]) {
          const one = at(directory, pack);
          if (await files.stat(one)) await files.unlink(one);
        }
        of.add(dirname(packPath(directory, pack)));
      }
      for (const one of of) await files.syncDirectory(one);
      if (packs.length > 0) await whenRemoved(packs);
    },
    list: (packs) => listRemoved(files, directory, packs),
    mend: ({ group }) => mendRemoved(files, directory, group),
  };
}
