import { ClassicLevel } from 'classic-level';
import { KiB, MiB } from '../../lib/sizes.ts';
import { callLoaded } from '../../sys/process/native-module.ts';

/*
 * LevelDB, with a bound on its memory that does not depend on the number of its entries. Left alone, it maps up to
 * 1,000 tables into memory, so that the resident memory of a process grows with what it looks up: by 1.3 GiB at 100
 * million entries. A function that its own tests use prevents that: it then reads tables as files, and the kernel
 * caches them as it sees fit. What it holds of an open table are its filter and its index of blocks. Look-ups take less
 * time, too, for there are no page faults: at 10 million entries 2 instead of 7 us of processor time for one that is
 * absent. Where that function is missing, only so many tables are open that mapping all of them keeps the bound.
 */
export type Level = ClassicLevel<Uint8Array, Uint8Array>;

const ADDON = /\/classic[-_]level[^/]*\.node$/;
/** `leveldb::EnvPosixTestHelper::SetReadOnlyMMapLimit(int)`: not after the first database of the process is opened. */
const SET_MAPPED_MAX = '_ZN7leveldb18EnvPosixTestHelper20SetReadOnlyMMapLimitEi';

let isMapping: boolean | undefined;

/** Whether LevelDB maps its tables: a fact of the process. In other threads it is not used: see `openLevel`. */
function mapsTables(): boolean {
  return (isMapping ??= !callLoaded(ADDON, SET_MAPPED_MAX, 0));
}

export interface LevelOptions {
  readonly cacheSize: number;
  readonly writeBufferSize: number;
  readonly maxOpenFiles: number;
}

/** A table is a file of this length. */
const TABLE_LENGTH = 2 * MiB;
/** A table that is open and not mapped: of 37,000 entries, with 10 bits each in its filter. Measured: 75 KiB. */
const TABLE_COST = 80 * KiB;
/** LevelDB has no fewer open. */
const TABLES_MIN = 64;
/** It keeps so many of its files for other use. */
const OTHER_FILES = 10;
const WRITE_BUFFER_MAX = 8 * MiB;

/**
 * `memory`: bytes. Half of them are for open tables. A quarter stays for what grows with the index all the same: a
 * table's name and range of keys take 400 bytes, 16 MiB at 100 TiB of contents.
 */
export function levelOptions(memory: number, isMapped: boolean): LevelOptions {
  const tables = Math.floor(memory / 2 / (isMapped ? TABLE_LENGTH : TABLE_COST));
  return {
    cacheSize: Math.floor(memory / 16),
    // Two at once.
    writeBufferSize: Math.min(WRITE_BUFFER_MAX, Math.floor(memory / 16)),
    maxOpenFiles: OTHER_FILES + Math.max(TABLES_MIN, tables),
  };
}

/**
 * Creates the directory where there is none. `isShared`: other threads of this process may have it open at the same
 * time, with the memory of the first, which must be the main thread. Rejects what LevelDB says.
 */
export async function openLevel(
  directory: string,
  { memory, isShared }: { readonly memory: number; readonly isShared: boolean },
): Promise<Level> {
  const level: Level = new ClassicLevel(directory, {
    keyEncoding: 'view',
    valueEncoding: 'view',
    multithreading: isShared,
    // Digests and locations do not compress.
    compression: false,
    ...levelOptions(memory, mapsTables()),
  });
  await level.open();
  return level;
}
