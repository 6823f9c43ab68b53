import { GranularError } from '../base/file-restore-error.ts';
import { printable } from '../../lib/printable.ts';
import { decoded } from './signatures.ts';

/** An entry of a partition table as it is: not checked for sense yet. */
export interface TableEntry {
  readonly number: number;
  /** In bytes; not a safe integer if the table's number is not. */
  readonly offset: number;
  readonly length: number;
  readonly type: string;
  readonly name: string | undefined;
}

export interface TableList {
  readonly scheme: string;
  readonly entries: readonly TableEntry[];
}

/** The largest table that sfdisk makes has 128 entries of GPT; entries beyond this are noise. */
const ENTRIES_MAX = 1024;
/** partx counts in these units, regardless of the disk's sectors. */
const PARTX_UNIT = 512;

interface Dump {
  readonly label?: unknown;
  readonly unit?: unknown;
  readonly sectorsize?: unknown;
  readonly device?: unknown;
  readonly partitions?: readonly Readonly<Record<string, unknown>>[];
}

/** Parses the output of `sfdisk --json PATH`. Throws UNREADABLE if it is not a table. */
export function parseSfdisk(json: string, path: string): TableList {
  const bad = (what: string): never => {
    throw new GranularError('UNREADABLE', `the partition table of ${path}: ${what}`);
  };
  let dump: Dump | undefined;
  try {
    dump = (JSON.parse(json) as { partitiontable?: Dump }).partitiontable;
  } catch (cause) {
    throw new GranularError('UNREADABLE', `sfdisk's answer about ${path} is not JSON`, { cause });
  }
  if (typeof dump !== 'object' || dump === null) return bad('sfdisk found no table');
  const { label: scheme, unit, sectorsize = 512, device = path, partitions = [] } = dump;
  if (typeof scheme !== 'string') return bad('its kind is missing');
  if (unit !== 'sectors' || (sectorsize !== 512 && sectorsize !== 4096)) {
    return bad(`units of ${printable(String(sectorsize))} ${printable(String(unit))}`);
  }
  if (!Array.isArray(partitions)) return bad('not a list');
  const list = partitions.slice(0, ENTRIES_MAX) as NonNullable<Dump['partitions']>;
  const entries = list.map((entry): TableEntry => {
    if (typeof entry !== 'object' || entry === null) return bad('not a list of partitions');
    const { node, start, size, type, name } = entry;
    const number = numberOf(String(node), String(device));
    if (number === undefined) return bad(`partition ${printable(String(node))}`);
    return {
      number,
      offset: Number(start) * sectorsize,
      length: Number(size) * sectorsize,
      type: printable(String(type)).toUpperCase(),
      name: typeof name === 'string' ? printable(name) : undefined,
    };
  });
  return { scheme: printable(scheme), entries: withoutDoubles(entries) };
}

/** Parses the output of `partx --pairs --output NR,START,SECTORS,TYPE,NAME,SCHEME` printed. Throws UNREADABLE. */
export function parsePartx(text: string, path: string): TableList {
  const lines = text.split('\n').filter((line) => line !== '');
  let scheme = 'none';
  const entries = lines.slice(0, ENTRIES_MAX).map((line): TableEntry => {
    const fields = new Map([...line.matchAll(/([A-Z]+)="([^"]*)"/g)].map((it) => [it[1]!, it[2]!]));
    const number = Number(fields.get('NR'));
    if (!Number.isSafeInteger(number) || number < 1) {
      throw new GranularError('UNREADABLE', `partx's answer about ${path}: ${printable(line)}`);
    }
    // Nested tables come after the table that contains them.
    if (scheme === 'none') scheme = printable(fields.get('SCHEME') ?? 'none');
    return {
      number,
      offset: Number(fields.get('START') ?? Number.NaN) * PARTX_UNIT,
      length: Number(fields.get('SECTORS') ?? Number.NaN) * PARTX_UNIT,
      type: (decoded(fields.get('TYPE')) ?? '').replace(/^0x/, '').toUpperCase(),
      name: decoded(fields.get('NAME')) || undefined,
    };
  });
  return { scheme, entries: withoutDoubles(entries) };
}

/** Sorted by number; of two with the same number the first. */
function withoutDoubles(entries: readonly TableEntry[]): TableEntry[] {
  const byNumber = new Map(entries.toReversed().map((it) => [it.number, it]));
  return [...byNumber.values()].toSorted((a, b) => a.number - b.number);
}

/** sfdisk writes `DEVICE7`, and `DEVICEp7` where the device's name ends in a digit. */
function numberOf(node: string, device: string): number | undefined {
  if (!node.startsWith(device)) return undefined;
  const digits = /^p?([1-9]\d{0,3})$/.exec(node.slice(device.length))?.[1];
  return digits === undefined ? undefined : Number(digits);
}
