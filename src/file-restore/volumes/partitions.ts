import { GranularError } from '../base/file-restore-error.ts';
import { lastWords, PARSER_MEMORY_MAX, runProgram } from '../base/programs.ts';
import { probe, type Signatures } from './signatures.ts';
import { parsePartx, parseSfdisk, type TableEntry, type TableList } from './table-lists.ts';

/*
 * The parts of a disk, as the guest's kernel sees them. Disks carry remains of former uses: a file system's signature
 * survives a later partition table, and looks to blkid like the better answer. The kernel uses the table wherever
 * there is one, so the table wins here. Nonsensical entries are reported one by one; the others stand.
 */

/** A part of a disk; `number` 0: the disk as a whole. */
export interface Partition {
  readonly number: number;
  /** Offset in bytes. */
  readonly offset: number;
  readonly length: number;
  /** The type as in the table, in capitals: a GUID, a hexadecimal number, a word. Undefined for the whole disk. */
  readonly type: string | undefined;
  readonly name: string | undefined;
}

export interface PartitionTable {
  /** `gpt`, `dos`, `sun` and so on; `none`: the disk is one volume. */
  readonly scheme: string;
  /**
   * By number, without extended partitions, which only hold others. Besides the table's entries, the whole disk is
   * included if it has a signature too.
   */
  readonly partitions: readonly Partition[];
  /** Entries of the table that make no sense on this disk. */
  readonly odd: readonly { readonly number: number; readonly reason: string }[];
}

const LOOK_MS = 60_000;
const NO_TABLE = /does not contain a recognized partition table/;
const NO_FILE = /No such file or directory/;
const EXTENDED: readonly string[] = ['5', 'F', '85'];
const PROTECTIVE = 'EE';
/** The type of an unused GPT entry, regardless of its other fields. */
const UNUSED = '00000000-0000-0000-0000-000000000000';
/**
 * MBR partitions that contain a table of another kind, which the kernel reads too: BSDs, Solaris, Minix, UnixWare.
 */
const WITH_TABLES: readonly string[] = ['A5', 'A6', 'A9', '82', 'BF', '81', '63'];
/** Tables that sfdisk reads better than partx, even damaged ones. */
const OF_SFDISK: readonly (string | undefined)[] = ['gpt', 'dos', 'PMBR', undefined];
const COLUMNS = 'NR,START,SECTORS,TYPE,NAME,SCHEME';
const SECTOR = 512;
const LARGE_SECTOR = 4096;
const BOOT_SECTOR_LENGTH = 512;
/** Where the four entries of an MBR begin. */
const ENTRIES_AT = 446;
const ENTRY_LENGTH = 16;

interface Options {
  readonly timeoutMs: number;
  readonly memoryMax: number;
  readonly signal?: AbortSignal;
}

/** The parts of the raw disk in file `path`. Rejects UNREADABLE, NOT_FOUND, and as programs do. */
export async function readPartitions(path: string, signal?: AbortSignal): Promise<PartitionTable> {
  const options = { timeoutMs: LOOK_MS, memoryMax: PARSER_MEMORY_MAX, ...(signal && { signal }) };
  const { code, stdout, stderr } = await runProgram(
    'stat',
    ['--dereference', '--format=%s', '--', path],
    options,
  );
  const length = Number(stdout.toString());
  if (code !== 0 || !Number.isSafeInteger(length)) {
    throw new GranularError('NOT_FOUND', `no disk ${path}: ${lastWords(stderr)}`);
  }
  const whole = { number: 0, offset: 0, length, type: undefined, name: undefined };
  const seen = await probe(path, signal);
  const table = await tableOf(path, seen, options);
  const real = table?.entries.filter((it) => it.length !== 0 && it.type !== UNUSED) ?? [];
  if (!table || real.length === 0) return { scheme: 'none', partitions: [whole], odd: [] };
  const used = real.filter(({ type }) => table.scheme !== 'dos' || !EXTENDED.includes(type));
  const isOdd = (it: TableEntry): boolean => oddityOf(it, length) !== undefined;
  const partitions = used.filter((it) => !isOdd(it));
  // A partition at the first byte has the signature itself.
  const isSigned = seen['ID_FS_TYPE'] !== undefined && partitions.every(({ offset }) => offset > 0);
  return {
    scheme: table.scheme,
    partitions: [...(isSigned ? [whole] : []), ...partitions],
    odd: used.filter(isOdd).map((it) => ({ number: it.number, reason: oddityOf(it, length)! })),
  };
}

function oddityOf({ offset, length, number }: TableEntry, diskLength: number): string | undefined {
  const isPlace = Number.isSafeInteger(offset + length) && offset >= 0 && length > 0;
  if (!isPlace) return `partition ${number} has an impossible place`;
  if (offset + length <= diskLength) return undefined;
  return `partition ${number} reaches to byte ${offset + length}, and the disk ends at ${diskLength}`;
}

/** The table; undefined: there is none that the kernel would use. */
async function tableOf(
  path: string,
  seen: Signatures,
  options: Options,
): Promise<TableList | undefined> {
  const scheme = seen['ID_PART_TABLE_TYPE'];
  if (!OF_SFDISK.includes(scheme)) return byPartx(path, SECTOR, options);
  const table = await bySfdisk(path, options);
  if (!table) return undefined;
  const types = new Set(table.entries.map(({ type }) => type));
  if (table.scheme === 'dos' && types.has(PROTECTIVE)) {
    const large = await byPartx(path, LARGE_SECTOR, options);
    if (large?.scheme === 'gpt') return large;
    throw new GranularError(
      'UNREADABLE',
      `the partition table of ${path}: only the protective MBR of a GPT is left: the disk is truncated`,
    );
  }
  // FAT, NTFS and others begin with a boot sector too, whose code may look like a table; so may noise.
  if (scheme === undefined && table.scheme === 'dos') {
    return (await isTableToKernel(path, table, options)) ? table : undefined;
  }
  if (table.scheme !== 'dos' || WITH_TABLES.every((type) => !types.has(type))) return table;
  const inner = (await byPartx(path, SECTOR, options))?.entries ?? [];
  const known = new Set(table.entries.map(({ number }) => number));
  return { ...table, entries: [...table.entries, ...inner.filter((it) => !known.has(it.number))] };
}

/** As linux/block/partitions/msdos.c: each boot indicator is 0 or 80h. mkfs.vfat makes one entry for all. */
async function isTableToKernel(
  path: string,
  { entries }: TableList,
  options: Options,
): Promise<boolean> {
  const { stdout } = await runProgram('head', ['--bytes=512', '--', path], options);
  const indicators = [0, 1, 2, 3].map((at) => stdout[ENTRIES_AT + at * ENTRY_LENGTH]);
  const areIndicators = indicators.every((it) => it === 0 || it === 0x80);
  const used = entries.filter(({ length }) => length > 0);
  const isVolume = used.length === 1 && used[0]!.offset === 0;
  return stdout.length === BOOT_SECTOR_LENGTH && areIndicators && !isVolume;
}

async function bySfdisk(path: string, options: Options): Promise<TableList | undefined> {
  const { code, stdout, stderr } = await runProgram('sfdisk', ['--json', '--', path], options);
  if (code === 0) return parseSfdisk(stdout.toString(), path);
  if (NO_FILE.test(stderr)) throw new GranularError('NOT_FOUND', `no disk ${path}`);
  if (NO_TABLE.test(stderr)) return undefined;
  throw new GranularError('UNREADABLE', `no partition table in ${path}: ${lastWords(stderr)}`);
}

async function byPartx(
  path: string,
  sector: number,
  options: Options,
): Promise<TableList | undefined> {
  const args = ['--pairs', '--output', COLUMNS, '--sector-size', String(sector), '--', path];
  const { code, stdout } = await runProgram('partx', args, options);
  return code === 0 ? parsePartx(stdout.toString('latin1'), path) : undefined;
}
