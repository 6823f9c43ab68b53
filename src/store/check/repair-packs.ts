import { FormatError } from '../../formats/format-error.ts';
import { digestKey } from '../../formats/store/base/digest.ts';
import { checkFrame } from '../../formats/store/packs/frame.ts';
import { PACK_HEADER_LENGTH } from '../../formats/store/packs/pack.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { nodeCopies } from '../packs/node-copies.ts';
import { type PackBytes, readFooter } from '../packs/pack-contents.ts';
import type { PackFooter, PackStore } from '../packs/pack-store.ts';
import { livingEntries } from '../packs/swept-packs.ts';
import { PACK_SPAN } from '../packs/trust.ts';
import { reason } from './problem.ts';

/*
 * Packs of nodes exist twice, byte for byte: one that is damaged or missing is put back from the other one, after all
 * frames of that one were checked. If both are damaged, each frame is taken from where it is whole.
 */
export interface PackRepairOptions {
  readonly files: FileSystem;
  /** The directory of the store. */
  readonly directory: string;
  readonly packs: PackStore;
  /** Which files may be written: all; only copies; none, to find out what would be done. */
  readonly changed: 'all' | 'copies' | 'none';
  readonly signal: AbortSignal;
  /** A pack was put back; `isCopy`: its copy was. */
  readonly onMended: (where: string, isCopy: boolean) => void;
  /** Neither is whole. */
  readonly onLost: (where: string, what: string) => void;
}

/** The caller holds the store's lock, unless nothing is `changed`. */
export async function repairPacks(options: PackRepairOptions): Promise<void> {
  const { files, directory, packs, changed, signal, onMended, onLost } = options;
  const copies = nodeCopies(files, directory);
  const copied = new Set(await copies.list());
  const there = await packs.list();
  const { numbers: removed, damage: unknown } = await packs.swept.removed();

  async function put(pack: number, bytes: Uint8Array, old: Uint8Array | undefined): Promise<void> {
    if (changed === 'none') return;
    const path = packs.path(pack);
    // In its place: who has it open, such as a running session, reads it from now on.
    const isDone = old !== undefined && (await overwrite(files, path, old, bytes));
    if (!isDone) await putDurably(files, path, bytes);
  }
  for (const pack of [...new Set([...there, ...copied])].sort((a, b) => a - b)) {
    signal.throwIfAborted();
    if (removed.has(pack)) {
      if (copied.has(pack) && changed !== 'none') await copies.remove(pack);
      continue;
    }
    const main = await bytesAt(files, packs.path(pack));
    const copy = copied.has(pack) ? await copies.bytes(pack) : undefined;
    if (copy === undefined && !(main && (await isOfNodes(main)))) continue;
    // A pack that a sweep has removed must not come back: its nodes refer to blocks that are gone.
    if (!main && unknown[0]) {
      onLost(unknown[0].where, `${unknown[0].what}: whether pack ${pack} was removed is not known`);
      continue;
    }
    const dead = await forgetDead(packs, pack, [main, copy]);
    if (typeof dead === 'string') {
      onLost(packs.swept.deadPath(pack), dead);
      continue;
    }
    const look = (bytes: Uint8Array | undefined) => defectOf(bytes, pack, dead);
    const [mainDefect, copyDefect] = [await look(main), await look(copy)];
    const isSame = main && copy && Buffer.compare(main, copy) === 0;
    if (mainDefect === undefined && isSame) continue;
    const whole =
      mainDefect === undefined
        ? main
        : copyDefect === undefined
          ? copy
          : await merged(main, copy, look);
    if (!whole) {
      onLost(packs.path(pack), `${mainDefect}; its copy ${copies.path(pack)}: ${copyDefect}`);
      continue;
    }
    if (mainDefect !== undefined) {
      if (changed === 'copies') continue;
      await put(pack, whole, main);
      onMended(packs.path(pack), false);
    }
    if (!copy || Buffer.compare(copy, whole) !== 0) {
      if (changed !== 'none') await copies.write(pack, whole);
      onMended(copies.path(pack), true);
    }
  }
}

/** Undefined: it is missing, or cannot be read. */
async function bytesAt(files: FileSystem, path: string): Promise<Uint8Array | undefined> {
  try {
    return (await files.stat(path)) && (await files.readFile(path, PACK_SPAN));
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    return undefined;
  }
}

const inMemory = (bytes: Uint8Array): PackBytes => ({
  path: 'it',
  size: async () => bytes.length,
  async read(into, offset) {
    const part = bytes.subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  },
});

async function isOfNodes(bytes: Uint8Array): Promise<boolean> {
  try {
    return (await readFooter(inMemory(bytes))).header.kind === 'node';
  } catch (cause) {
    reason(cause);
    return false;
  }
}

/** Undefined: all of it is whole. */
async function defectOf(
  bytes: Uint8Array | undefined,
  pack: number,
  dead: ReadonlySet<number>,
): Promise<string | undefined> {
  if (!bytes) return 'it is missing';
  try {
    const { header, entries } = await readFooter(inMemory(bytes));
    if (header.number !== pack) return `it says that it is pack ${header.number}`;
    if (header.kind !== 'node') return 'it is a pack of blocks';
    for (const entry of entries) {
      if (!dead.has(entry.offset) && !isWhole(bytes, entry))
        return `at ${entry.offset}: the frame is damaged`;
    }
    return undefined;
  } catch (cause) {
    return reason(cause);
  }
}

type Entry = PackFooter['entries'][number];

function isWhole(bytes: Uint8Array, { offset, length, digest }: Entry): boolean {
  try {
    const found = checkFrame(bytes.subarray(offset, offset + length)).digest;
    return digestKey(found) === digestKey(digest);
  } catch (cause) {
    if (cause instanceof FormatError) return false;
    throw cause;
  }
}

/**
 * Puts zeros in the place of frames that a sweep has found dead, in both: there may be holes. Returns their offsets;
 * or why it is not known which they are.
 */
async function forgetDead(
  packs: Pick<PackStore, 'swept'>,
  pack: number,
  both: readonly (Uint8Array | undefined)[],
): Promise<ReadonlySet<number> | string> {
  for (const bytes of both) {
    const footer = bytes && (await footerOf(bytes, pack));
    if (!footer) continue;
    let living: readonly Entry[];
    try {
      living = await livingEntries(packs, pack, footer);
    } catch (cause) {
      return reason(cause);
    }
    const alive = new Set(living.map(({ offset }) => offset));
    const dead = footer.entries.filter(({ offset }) => !alive.has(offset));
    for (const { offset, length } of dead) {
      for (const one of both) one?.fill(0, offset, offset + length);
    }
    return new Set(dead.map(({ offset }) => offset));
  }
  return new Set();
}

/** Undefined: it is damaged, or that of another pack. */
async function footerOf(bytes: Uint8Array, pack: number): Promise<PackFooter | undefined> {
  try {
    const footer = await readFooter(inMemory(bytes));
    return footer.header.number === pack ? footer : undefined;
  } catch (cause) {
    reason(cause);
    return undefined;
  }
}

/** Undefined: a part is whole in neither. */
async function merged(
  main: Uint8Array | undefined,
  copy: Uint8Array | undefined,
  look: (bytes: Uint8Array) => Promise<string | undefined>,
): Promise<Uint8Array | undefined> {
  if (!main || !copy) return undefined;
  const candidates = [
    [main, copy],
    [copy, main],
    [withHeaderOf(copy, main), copy],
    [withHeaderOf(main, copy), main],
  ] as const;
  for (const [base, other] of candidates) {
    let entries: readonly Entry[];
    try {
      ({ entries } = await readFooter(inMemory(base)));
    } catch (cause) {
      reason(cause);
      continue;
    }
    const bytes = base.slice();
    for (const entry of entries) {
      if (isWhole(bytes, entry) || !isWhole(other, entry)) continue;
      bytes.set(other.subarray(entry.offset, entry.offset + entry.length), entry.offset);
    }
    if ((await look(bytes)) === undefined) return bytes;
  }
  return undefined;
}

function withHeaderOf(from: Uint8Array, bytes: Uint8Array): Uint8Array {
  const made = bytes.slice();
  made.set(from.subarray(0, Math.min(PACK_HEADER_LENGTH, made.length)));
  return made;
}

const PART_LENGTH = 4096;

/**
 * Writes what is different, page by page: holes that a sweep has made stay holes. False: the disk refuses it, as it
 * does where a sector is bad.
 */
async function overwrite(
  files: FileSystem,
  path: string,
  old: Uint8Array,
  bytes: Uint8Array,
): Promise<boolean> {
  try {
    await using file = await files.open(path, 'write');
    for (let at = 0; at < bytes.length; at += PART_LENGTH) {
      const part = bytes.subarray(at, at + PART_LENGTH);
      if (Buffer.compare(part, old.subarray(at, at + PART_LENGTH)) !== 0)
        await file.write(part, at);
    }
    await file.truncate(bytes.length);
    await file.sync();
    return true;
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    return false;
  }
}
