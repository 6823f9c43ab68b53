import { FormatError } from '../../formats/format-error.ts';
import {
  decodePackHeader,
  PACK_HEADER_LENGTH,
  type PackHeader,
} from '../../formats/store/packs/pack.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { type NodeCopies, nodeCopies } from '../packs/node-copies.ts';
import type { PackStore } from '../packs/pack-store.ts';
import type { ListDamage } from '../packs/removed-packs.ts';
import { PACK_SPAN } from '../packs/trust.ts';
import { listProblem } from './swept-frames.ts';
import { defectOf, forgetDead, isOther, merged } from './whole-packs.ts';

/*
 * Packs of nodes exist twice, byte for byte: one that is damaged or missing is put back from the other one, after all
 * frames of that one were checked. If both are damaged, each frame is taken from where it is whole. A pack of blocks
 * exists once: it is never touched, whatever lies in the copies under its number.
 */
export interface PackRepairOptions {
  readonly files: FileSystem;
  /** The directory of the store. */
  readonly directory: string;
  /** The store's ID. */
  readonly id: string;
  readonly packs: PackStore;
  /** Which files may be written: all; only copies; none, to find out what would be done. */
  readonly changed: 'all' | 'copies' | 'none';
  /** Whether there may be copies: those of another store are left alone. */
  readonly hasCopies: boolean;
  readonly signal: AbortSignal;
  /** The store's lock for a pack that is to be written; undefined: the caller holds it, or nothing is `changed`. */
  readonly turn?: (() => Promise<AsyncDisposable>) | undefined;
  /** Called before each pack. */
  readonly pause?: (() => Promise<void>) | undefined;
  /** A pack was put back; `isCopy`: its copy was. */
  readonly onMended: (where: string, isCopy: boolean) => void;
  /** Neither is whole. */
  readonly onLost: (where: string, what: string) => void;
  /** The disk of copies refuses something. */
  readonly onCopyFailed: (what: string) => void;
}

export async function repairPacks(options: PackRepairOptions): Promise<void> {
  const { files, directory, id, packs, hasCopies, signal, turn, pause, onCopyFailed } = options;
  const copies = nodeCopies(files, directory, id);
  const copied = new Set(hasCopies ? await listed(copies, onCopyFailed) : []);
  const there = await packs.list();
  const { numbers: removed, damage } = await packs.swept.removed();
  const unknown = damage.filter(({ isLost }) => isLost);
  if (options.changed !== 'copies') await mendLists(damage, options);

  async function put(
    pack: number,
    bytes: Uint8Array,
    { old, changed }: Pick<Mending, 'changed'> & { readonly old: Uint8Array | undefined },
  ): Promise<void> {
    if (changed === 'none') return;
    const path = packs.path(pack);
    // In its place: who has it open, such as a running session, reads it from now on.
    const isDone = old !== undefined && (await overwrite(files, path, old, bytes));
    if (!isDone) await putDurably(files, path, bytes);
  }
  async function dropCopy(pack: number): Promise<void> {
    if (!copied.has(pack) || options.changed === 'none') return;
    try {
      await copies.remove(pack);
    } catch (cause) {
      onCopyFailed(failureOf(cause));
    }
  }
  /** Returns whether one of the two is to be written, or was. */
  async function mend(pack: number, how: Mending): Promise<boolean> {
    const { changed, onMended, onLost } = how;
    const header = await headerOf(files, packs.path(pack));
    if (header?.kind === 'block') {
      const what = `this copy is not of this store: its pack ${pack} is one of blocks`;
      if (copied.has(pack)) onLost(copies.path(pack), what);
      return false;
    }
    if (!header && !copied.has(pack)) return false;
    const main = await bytesAt(files, packs.path(pack));
    const copy = copied.has(pack) ? await copies.bytes(pack) : undefined;
    if (!main && !copy) return false;
    // A pack that a sweep has removed must not come back: its nodes refer to blocks that are gone.
    if (!main && unknown[0]) {
      onLost(unknown[0].where, `${unknown[0].what}: whether pack ${pack} was removed is not known`);
      return false;
    }
    const { isForeign, own, other, number } = toldApart(pack, { header, main, copy });
    if (number !== pack && !copied.has(number)) {
      onLost(packs.path(pack), `it is pack ${number}, which has no copy`);
      return false;
    }
    const dead = await forgetDead(packs, pack, [own, other]);
    if (typeof dead === 'string') {
      onLost(packs.swept.deadPath(pack), dead);
      return false;
    }
    const look = (bytes: Uint8Array | undefined) => defectOf(bytes, pack, dead);
    const mainDefect = await look(main);
    const copyDefect = isForeign ? 'it is a copy of another pack' : await look(copy);
    const isSame = main && copy && Buffer.compare(main, copy) === 0;
    if (mainDefect === undefined && isSame) return false;
    const mended = async () => (copyDefect === undefined ? copy : await merged(own, other, look));
    const whole = mainDefect === undefined ? main : await mended();
    if (!whole) {
      onLost(packs.path(pack), `${mainDefect}; its copy ${copies.path(pack)}: ${copyDefect}`);
      return false;
    }
    if (mainDefect !== undefined) {
      if (changed === 'copies') return false;
      try {
        await put(pack, whole, { old: main, changed });
      } catch (cause) {
        onLost(packs.path(pack), `${mainDefect}; it cannot be put back: ${failureOf(cause)}`);
        return false;
      }
      onMended(packs.path(pack), false);
    }
    if (hasCopies && (!copy || Buffer.compare(copy, whole) !== 0)) {
      try {
        if (changed !== 'none') await copies.write(pack, whole);
        onMended(copies.path(pack), true);
      } catch (cause) {
        onCopyFailed(failureOf(cause));
      }
      return true;
    }
    return mainDefect !== undefined;
  }
  for (const pack of [...new Set([...there, ...copied])].sort((a, b) => a - b)) {
    signal.throwIfAborted();
    await pause?.();
    if (removed.has(pack)) {
      await dropCopy(pack);
      continue;
    }
    if (turn && !(await mend(pack, LOOK))) continue;
    await using _turn = await turn?.();
    await mend(pack, options);
  }
}

/** Each list of removed packs exists twice, beside the packs. */
async function mendLists(
  damage: readonly ListDamage[],
  { packs, changed, onMended, onLost }: PackRepairOptions,
): Promise<void> {
  for (const one of damage) {
    const { where, what } = listProblem(one);
    if (one.isLost) onLost(where, what);
    else {
      if (changed === 'all') await packs.swept.mend(one);
      onMended(where, false);
    }
  }
}

interface Found {
  readonly header: PackHeader | undefined;
  readonly main: Uint8Array | undefined;
  readonly copy: Uint8Array | undefined;
}

/**
 * What of both is of this pack: its file may be that of another pack of nodes (`number`), under its name; its copy may
 * be of another store.
 */
function toldApart(pack: number, { header, main, copy }: Found) {
  const number = header?.number ?? pack;
  const isForeign =
    number === pack && main !== undefined && copy !== undefined && isOther(main, copy);
  return {
    ...{ number, isForeign },
    own: number === pack ? main : undefined,
    other: isForeign ? undefined : copy,
  };
}

type Mending = Pick<PackRepairOptions, 'changed' | 'onMended' | 'onLost'>;

/** Most packs are whole: only the others are worth the store's lock. */
const LOOK: Mending = { changed: 'none', onMended() {}, onLost() {} };

async function listed(
  copies: NodeCopies,
  onCopyFailed: PackRepairOptions['onCopyFailed'],
): Promise<number[]> {
  try {
    return await copies.list();
  } catch (cause) {
    onCopyFailed(failureOf(cause));
    return [];
  }
}

/** The message of a disk that fails. */
function failureOf(cause: unknown): string {
  if (!(cause instanceof SystemError)) throw cause;
  return cause.message;
}

/** Undefined: it is missing, or cannot be read. */
async function headerOf(files: FileSystem, path: string): Promise<PackHeader | undefined> {
  try {
    // Not through the store's open files, which would keep a file that is replaced here.
    await using file = await files.open(path, 'read');
    const bytes = new Uint8Array(PACK_HEADER_LENGTH);
    return decodePackHeader(bytes.subarray(0, await file.read(bytes, 0)));
  } catch (cause) {
    if (!(cause instanceof FormatError) && !(cause instanceof SystemError)) throw cause;
    return undefined;
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
