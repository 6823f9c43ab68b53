import {
  decodeExportContents,
  type ExportContents,
} from '../../formats/store/exports/export-contents.ts';
import { IngestError } from '../source/ingest-error.ts';
import { type ByteSource, type ExportDamage, readExport } from './export-reader.ts';

/** What an export says of itself, and with `isRead` what is wrong with it. Needs no key. */
export interface LookedExport {
  readonly contents: ExportContents | undefined;
  readonly damage: readonly ExportDamage[];
  readonly moreDamage: number;
}

const DAMAGE_MAX = 1000;

/** `isRead`: to its end, all checksums compared. Rejects BAD_IMAGE, UNSUPPORTED. */
export async function lookAtExport(
  source: ByteSource,
  {
    isRead,
    signal,
    onProgress,
  }: {
    readonly isRead: boolean;
    readonly signal: AbortSignal | undefined;
    readonly onProgress: (position: number) => void;
  },
): Promise<LookedExport> {
  const damage: ExportDamage[] = [];
  let contents: ExportContents | undefined;
  let count = 0;
  const records = readExport(source, (it) => {
    count++;
    if (damage.length < DAMAGE_MAX) damage.push(it);
  });
  for await (const { kind, body, offset } of records) {
    signal?.throwIfAborted();
    if (kind === 'begin') contents ??= decodeExportContents(body);
    onProgress(offset);
    if (!isRead) break;
  }
  if (!isRead && !contents) {
    const what = 'the beginning of the export, with the list of what is in it, is damaged';
    throw new IngestError('BAD_IMAGE', `${what}: read all of it with --read-data`);
  }
  return { contents, damage, moreDamage: count - damage.length };
}
