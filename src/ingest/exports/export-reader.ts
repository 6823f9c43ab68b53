import { FormatError } from '../../formats/format-error.ts';
import { runningDigest } from '../../formats/store/base/digest.ts';
import {
  checkExportBody,
  decodeExportEnd,
  decodeExportHead,
  EXPORT_HEAD_LENGTH,
  EXPORT_MAGIC,
  type ExportHead,
} from '../../formats/store/exports/export-record.ts';
import { MiB } from '../../lib/sizes.ts';
import { IngestError } from '../source/ingest-error.ts';

/** Where an export comes from, read from its beginning to its end. Fills a part of `into`; 0: the end. */
export type ByteSource = (into: Uint8Array) => Promise<number>;

export interface ExportRecord extends ExportHead {
  /** Where it begins in the file. */
  readonly offset: number;
  /** Lent until the next record is asked for. */
  readonly body: Uint8Array;
}

/** What is wrong with the file, and where. */
export interface ExportDamage {
  readonly offset: number;
  readonly what: string;
}

const CHUNK_LENGTH = MiB;
const MAGIC = Buffer.from(EXPORT_MAGIC, 'latin1');
/** A record of an export begins within so many bytes of the file, even if the first one is damaged. */
const BEGIN_MAX = 65 * MiB;
/** With at most so many zeros a tape fills its last block. */
const PADDING_MAX = 64 * MiB;

/**
 * The whole records of an export, in their order; after damage, from the next whole one on. All that is wrong with
 * the file has been passed to `onDamage` once the last one was given. Rejects BAD_IMAGE if it is no export, FormatError
 * UNSUPPORTED.
 */
export async function* readExport(
  source: ByteSource,
  onDamage: (damage: ExportDamage) => void,
): AsyncGenerator<ExportRecord> {
  const input = bytesOf(source);
  let id: string | undefined;
  let next = 0;
  let isWhole = true;
  let isGapKnown = false;

  function note(offset: number, what: string): void {
    isWhole = false;
    onDamage({ offset, what });
  }
  /** Undefined: no head of this export is here. */
  function headHere(): ExportHead | undefined {
    try {
      const head = decodeExportHead(input.bytes(EXPORT_HEAD_LENGTH));
      const found = Buffer.from(head.id).toString('hex');
      id ??= found;
      return id === found ? { ...head, id: head.id.slice() } : undefined;
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      if (cause.code === 'UNSUPPORTED' && id === undefined) throw cause;
      return undefined;
    }
  }
  /** Goes to the next place where a head may begin. False: there is none. */
  async function search(): Promise<boolean> {
    input.consume(1);
    for (;;) {
      if (id === undefined && input.offset > BEGIN_MAX) throw notAnExport();
      await input.need(EXPORT_HEAD_LENGTH);
      const at = input.indexOf(MAGIC);
      if (at >= 0) {
        input.consume(at);
        await input.need(EXPORT_HEAD_LENGTH);
        return true;
      }
      const isEnd = input.ended;
      input.consume(Math.max(0, input.length - (isEnd ? 0 : MAGIC.length - 1)));
      if (isEnd) return false;
    }
  }
  for (;;) {
    await input.need(EXPORT_HEAD_LENGTH);
    const { offset } = input;
    let head = headHere();
    if (!head) {
      if (input.length === 0) break;
      if (id !== undefined) note(offset, 'no record begins here: bytes are damaged or missing');
      isGapKnown = true;
      while (!head && (await search())) head = headHere();
      if (id === undefined) throw notAnExport();
      if (offset === 0) note(0, 'the first record is damaged');
      if (!head) break;
    }
    const start = input.offset;
    if (head.number !== next && !(isGapKnown && head.number > next)) {
      note(start, `record ${head.number} stands here, and record ${next} should`);
    }
    isGapKnown = false;
    next = head.number + 1;
    const length = EXPORT_HEAD_LENGTH + head.length;
    await input.need(length);
    if (input.length < length) {
      note(start, `the file ends within record ${head.number}: it was cut off`);
      return;
    }
    const body = input.bytes(length).subarray(EXPORT_HEAD_LENGTH);
    try {
      checkExportBody(head, body);
      if (head.kind === 'end') {
        const end = decodeExportEnd(body);
        const isSame = Buffer.compare(end.digest, input.digest()) === 0 && end.bytes === start;
        if (!isSame && isWhole) note(start, 'the digest over all records does not match');
        input.consume(length);
        await checkRest(input, note);
        return;
      }
      yield { ...head, offset: start, body };
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      note(start, `record ${head.number} is damaged: ${cause.message}`);
    }
    input.consume(length);
  }
  if (id === undefined) throw notAnExport();
  note(input.offset, 'the file ends without its last record: it was cut off');
}

function notAnExport(): IngestError {
  return new IngestError('BAD_IMAGE', 'this is not an export of recovery points');
}

type Bytes = ReturnType<typeof bytesOf>;

/** A tape may fill its last block with zeros; nothing else may follow the end. */
async function checkRest(input: Bytes, note: (offset: number, what: string) => void) {
  for (let rest = 0; rest < PADDING_MAX; ) {
    await input.need(1);
    if (input.length === 0) return;
    const found = input.bytes(input.length).findIndex((byte) => byte !== 0);
    if (found >= 0) {
      note(input.offset + found, 'bytes follow the end of the export, and do not belong to it');
      return;
    }
    rest += input.length;
    input.consume(input.length);
  }
}

/** A window on the source, and the digest of what has left it. */
function bytesOf(source: ByteSource) {
  const digest = runningDigest();
  let memory = new Uint8Array(CHUNK_LENGTH);
  let start = 0;
  let end = 0;
  let offset = 0;
  let ended = false;

  function makeRoom(count: number): void {
    if (start + count <= memory.length) return;
    const larger = count > memory.length ? new Uint8Array(count + CHUNK_LENGTH) : memory;
    larger.set(memory.subarray(start, end));
    memory = larger;
    end -= start;
    start = 0;
  }
  return {
    /** Where the window begins in the file. */
    get offset() {
      return offset;
    },
    /** How many bytes are in the window. */
    get length() {
      return end - start;
    },
    /** Whether nothing follows the window. */
    get ended() {
      return ended;
    },
    digest: () => digest.value(),
    bytes: (count: number) => memory.subarray(start, Math.min(end, start + count)),
    indexOf: (what: Uint8Array) =>
      Buffer.from(memory.buffer, memory.byteOffset + start, end - start).indexOf(what),
    consume(count: number): void {
      const taken = Math.min(count, end - start);
      digest.update(memory.subarray(start, start + taken));
      start += taken;
      offset += taken;
    },
    /** Resolves once the window has so many bytes, or all that are left. */
    async need(count: number): Promise<void> {
      while (end - start < count && !ended) {
        makeRoom(count);
        const got = await source(memory.subarray(end));
        if (got === 0) ended = true;
        end += got;
      }
    },
  };
}
