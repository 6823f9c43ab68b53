import {
  encodeExportEnd,
  encodeExportHead,
  EXPORT_ID_LENGTH,
  type ExportKind,
} from '../../formats/store/exports/export-record.ts';
import { runningDigest } from '../../formats/store/base/digest.ts';
import { MiB } from '../../lib/sizes.ts';
import type { Random } from '../../sys/base/random.ts';

/** Where an export goes: written from its beginning to its end. The bytes are lent until the promise settles. */
export type ByteSink = (bytes: Uint8Array) => Promise<void>;

/** Writes the records of an export. Grammar: formats/store/exports/export-record.md. */
export interface ExportWriter {
  /** Bytes of all records so far. */
  readonly bytes: number;
  /** Copies the body. */
  record(kind: ExportKind, set: number, body: Uint8Array): Promise<void>;
  /** The last record; once it resolves the sink has everything. */
  end(): Promise<void>;
}

/** Large enough for a tape to stream. */
const PIECE_LENGTH = MiB;

export function exportWriter(sink: ByteSink, random: Random): ExportWriter {
  const id = random.bytes(EXPORT_ID_LENGTH);
  const digest = runningDigest();
  const piece = new Uint8Array(PIECE_LENGTH);
  let filled = 0;
  let bytes = 0;
  let number = 0;

  async function flush(): Promise<void> {
    const ready = piece.subarray(0, filled);
    digest.update(ready);
    await sink(ready);
    filled = 0;
  }
  async function put(part: Uint8Array): Promise<void> {
    for (let at = 0; at < part.length; ) {
      const length = Math.min(part.length - at, piece.length - filled);
      piece.set(part.subarray(at, at + length), filled);
      filled += length;
      at += length;
      if (filled === piece.length) await flush();
    }
    bytes += part.length;
  }
  async function record(kind: ExportKind, set: number, body: Uint8Array): Promise<void> {
    await put(encodeExportHead({ kind, set, id, number: number++ }, body));
    await put(body);
  }
  return {
    get bytes() {
      return bytes;
    },
    record,
    async end() {
      await flush();
      await record('end', 0, encodeExportEnd({ bytes, digest: digest.value() }));
      await flush();
    },
  };
}
