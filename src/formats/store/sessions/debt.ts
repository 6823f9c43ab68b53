import { FormatError } from '../../format-error.ts';
import { decodeSummed, encodeSummed, type Fields } from '../base/json-record.ts';
import { idIn } from '../base/names.ts';
import { PLACEMENT_TEXT_MAX } from './placement.ts';

/*
 * What a session that was given up has left on a hypervisor, until that can be reached again and it is removed there.
 * Grammar: debt.md.
 */

export interface PlacedDebt {
  /** The mark of all that is left. */
  readonly session: string;
  readonly hypervisor: string;
  /** ISO 8601, UTC: when it was given up. */
  readonly since: string;
  /** By which the hypervisor knows the machine; undefined: it may have none. */
  readonly machine: string | undefined;
  /** By which it was to know it. */
  readonly uuid: string;
  /** The machine that was renamed, and gets its name back unless the session's machine stays. */
  readonly aside: string | undefined;
  /** Whether a disk was seen on the hypervisor itself: it is left there. Undefined: the session's journal is lost. */
  readonly hasMoved: boolean | undefined;
}

const FORMAT = 'holdfast-debt';
const VERSION = 1;

export function encodeDebt(debt: PlacedDebt): Uint8Array {
  return encodeSummed({ format: FORMAT, version: VERSION, ...debt });
}

export function decodeDebt(bytes: Uint8Array): PlacedDebt {
  return decodeSummed(bytes, debtOf);
}

function debtOf(fields: Fields): PlacedDebt {
  fields.expect(FORMAT, VERSION);
  if (!fields.has('sum')) throw new FormatError('CORRUPT', `${FORMAT}: its checksum is missing`);
  return {
    session: idIn(fields, 'session'),
    hypervisor: text(fields, 'hypervisor'),
    since: text(fields, 'since'),
    machine: fields.has('machine') ? text(fields, 'machine') : undefined,
    uuid: text(fields, 'uuid'),
    aside: fields.has('aside') ? text(fields, 'aside') : undefined,
    hasMoved: fields.has('hasMoved') ? fields.flag('hasMoved') : undefined,
  };
}

function text(fields: Fields, name: string): string {
  const found = fields.text(name);
  if (found.length <= PLACEMENT_TEXT_MAX) return found;
  throw new FormatError('CORRUPT', `debt's "${name}" is longer than ${PLACEMENT_TEXT_MAX}`);
}
