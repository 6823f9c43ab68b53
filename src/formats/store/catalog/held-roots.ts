import { FormatError } from '../../format-error.ts';
import { decodeSummed, encodeSummed } from '../base/json-record.ts';

// The roots that a process reads at this moment: leases/readers/ID.json in the store. Its row is in json-record.md.

const FORMAT = 'holdfast-held-roots';
const VERSION = 1;
/** The disks and files of one recovery point, and more. */
const ROOTS_MAX = 4096;
export const HELD_ROOTS_LENGTH_MAX = 1024 * ROOTS_MAX;

export interface HeldRoot {
  /** Hexadecimal digits. */
  readonly domain: string;
  readonly place: { readonly pack: number; readonly offset: number };
  /** For people. */
  readonly where: string;
}

export interface HeldRoots {
  /** For people: what reads them. */
  readonly holder: string;
  readonly roots: readonly HeldRoot[];
}

export function encodeHeldRoots({ holder, roots }: HeldRoots): Uint8Array {
  const flat = roots.map(({ domain, place, where }) => ({ domain, ...place, where }));
  return encodeSummed({ format: FORMAT, version: VERSION, holder, roots: flat });
}

/** Throws FormatError. */
export function decodeHeldRoots(bytes: Uint8Array): HeldRoots {
  return decodeSummed(bytes, (fields) => {
    fields.expect(FORMAT, VERSION);
    const holder = fields.text('holder');
    const roots = fields.list('roots', ROOTS_MAX, (root) => {
      const domain = root.text('domain');
      if (!/^[0-9a-f]{32}$/.test(domain)) throw new FormatError('CORRUPT', `domain "${domain}"`);
      const place = {
        pack: root.integer('pack', 0, 0xffffffff),
        offset: root.integer('offset', 0, 0xffffffff),
      };
      return { domain, place, where: root.text('where') };
    });
    return { holder, roots };
  });
}
