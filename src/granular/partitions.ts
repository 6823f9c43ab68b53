import { GranularError } from './granular-error.ts';
import { lastWords, PARSER_MEMORY_MAX, printable, runProgram } from './programs.ts';

/** A part of a disk; `number` 0: the disk has no table and is one volume as a whole. */
export interface Partition {
  readonly number: number;
  /** Bytes. */
  readonly offset: number;
  readonly length: number;
  /** As in the table: a GUID, or a hexadecimal number. Undefined: no table. */
  readonly type: string | undefined;
  readonly name: string | undefined;
}

export interface PartitionTable {
  readonly scheme: 'gpt' | 'dos' | 'none';
  /** By number; extended partitions, which only hold others, are left out. */
  readonly partitions: readonly Partition[];
}

const PROBE_MS = 60_000;
const NO_TABLE = /does not contain a recognized partition table/;
const NO_FILE = /No such file or directory/;
/** Types of MBR partitions that are lists of others. */
const EXTENDED: readonly string[] = ['5', 'f', '85'];
const PROTECTIVE = 'ee';
/** The largest table that sfdisk makes has 128 entries of GPT; more than this many are noise. */
const PARTITIONS_MAX = 1024;

interface Dump {
  readonly label?: unknown;
  readonly unit?: unknown;
  readonly sectorsize?: unknown;
  readonly device?: unknown;
  readonly partitions?: readonly Readonly<Record<string, unknown>>[];
}

/**
 * The partitions of the raw disk in file `path`. Rejects UNREADABLE where a table makes no sense, and as
 * programs do.
 */
export async function readPartitions(path: string, signal?: AbortSignal): Promise<PartitionTable> {
  const options = { timeoutMs: PROBE_MS, memoryMax: PARSER_MEMORY_MAX, ...(signal && { signal }) };
  // A boot sector of FAT or NTFS looks like an MBR to sfdisk; blkid knows the difference.
  const probe = await runProgram('blkid', ['-p', '-o', 'udev', '--', path], options);
  const isVolume = /^ID_FS_TYPE=/m.test(probe.stdout.toString());
  if (!isVolume) {
    const { code, stdout, stderr } = await runProgram('sfdisk', ['--json', '--', path], options);
    if (code === 0) return parsePartitions(stdout.toString(), path);
    if (NO_FILE.test(stderr)) throw new GranularError('NOT_FOUND', `no disk ${path}`);
    if (!NO_TABLE.test(stderr)) {
      throw new GranularError('UNREADABLE', `no partition table in ${path}: ${lastWords(stderr)}`);
    }
  }
  const size = await runProgram('stat', ['--dereference', '--format=%s', '--', path], options);
  const length = Number(size.stdout.toString());
  if (size.code !== 0 || !Number.isSafeInteger(length)) {
    throw new GranularError('NOT_FOUND', `no disk ${path}: ${lastWords(size.stderr)}`);
  }
  const whole = { number: 0, offset: 0, length, type: undefined, name: undefined };
  return { scheme: 'none', partitions: [whole] };
}

/** What `sfdisk --json PATH` printed. Throws UNREADABLE. */
export function parsePartitions(json: string, path: string): PartitionTable {
  const bad = (what: string): never => {
    throw new GranularError('UNREADABLE', `the partition table of ${path}: ${what}`);
  };
  let dump: Dump | undefined;
  try {
    dump = (JSON.parse(json) as { partitiontable?: Dump }).partitiontable;
  } catch (cause) {
    throw new GranularError('UNREADABLE', `sfdisk's answer about ${path} is no JSON`, { cause });
  }
  if (typeof dump !== 'object' || dump === null) return bad('sfdisk found none');
  const { label: scheme, unit, sectorsize = 512, device = path, partitions = [] } = dump;
  if (scheme !== 'gpt' && scheme !== 'dos') return bad(`of kind "${printable(String(scheme))}"`);
  if (unit !== 'sectors' || (sectorsize !== 512 && sectorsize !== 4096)) {
    return bad(`units of ${printable(String(sectorsize))} ${printable(String(unit))}`);
  }
  if (!Array.isArray(partitions) || partitions.length > PARTITIONS_MAX) return bad('too long');
  const isProtective = (type: unknown): boolean => scheme === 'dos' && type === PROTECTIVE;
  if (partitions.some(({ type }) => isProtective(type))) {
    return bad(
      'only the protective MBR of a GPT is left: the disk is cut off, or has sectors of 4096 bytes',
    );
  }
  const found = (partitions as NonNullable<Dump['partitions']>)
    .filter(({ type }) => !EXTENDED.includes(String(type)))
    .map(({ node, start, size, type, name }): Partition => {
      const number = numberOf(String(node), String(device));
      const [offset, length] = [Number(start) * sectorsize, Number(size) * sectorsize];
      const isPlace = Number.isSafeInteger(offset + length) && offset >= 0 && length > 0;
      if (number === undefined || !isPlace) return bad(`partition ${printable(String(node))}`);
      return {
        number,
        offset,
        length,
        type: String(type).toUpperCase(),
        name: typeof name === 'string' ? printable(name) : undefined,
      };
    })
    .toSorted((a, b) => a.number - b.number);
  const numbers = new Set(found.map(({ number }) => number));
  if (numbers.size !== found.length) return bad('two partitions have one number');
  return { scheme, partitions: found };
}

/** sfdisk writes `DEVICE7`, and `DEVICEp7` where the device's name ends in a digit. */
function numberOf(node: string, device: string): number | undefined {
  if (!node.startsWith(device)) return undefined;
  const digits = /^p?([1-9]\d{0,3})$/.exec(node.slice(device.length))?.[1];
  return digits === undefined ? undefined : Number(digits);
}
