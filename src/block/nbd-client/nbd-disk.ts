import { COMMAND_FLAGS, COMMANDS, TRANSMISSION_FLAGS } from '../../formats/wire/nbd.ts';
import { allDone } from '../../lib/all-done.ts';
import { printable } from '../../lib/printable.ts';
import { GiB, MiB } from '../../lib/sizes.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { realFileSystem } from '../../sys/files/real-file-system.ts';
import { type ByteStream, connect } from '../../sys/net/network.ts';
import type { TlsServer } from '../../sys/net/tls-client.ts';
import type { WritableBlockDevice } from '../block-device.ts';
import { BlockError } from '../block-error.ts';
import { writeLayer, type WriteOps } from '../layer.ts';
import { type Chosen, chooseExport, type RemoteExport } from './nbd-handshake.ts';
import { type NbdRequests, nbdRequests, type RequestsOptions } from './nbd-requests.ts';
import { allocation, marked } from './nbd-status.ts';
import { tlsServer } from './nbd-tls.ts';
import { type NbdPlace, parseNbdUri } from './nbd-uri.ts';
import type { ByteRange } from '../../lib/bytes.ts';

/** A disk that an NBD server exports. Writes to a read-only one reject READ_ONLY. */
export interface NbdDisk extends WritableBlockDevice {
  readonly readOnly: boolean;
  /** The server has gone, or violated the protocol: no request will be answered from now on. */
  readonly isGone: boolean;
  /**
   * The ranges of the whole disk that have changed since QEMU's dirty bitmap of that name began: in order, within the
   * disk, more than `gap` bytes (default: 0) apart from each other; so a larger `gap` bounds their number. Rejects
   * NO_BITMAP if it was not among `bitmaps` or the server does not offer it: then all of the disk is to be read; IO.
   */
  dirtyRanges(bitmap: string, options?: { readonly gap?: number }): AsyncGenerator<ByteRange>;
}

export interface NbdOptions {
  /** A server that owes an answer and is silent for that long counts as gone. */
  readonly silenceMs?: number;
  /** Names of QEMU's dirty bitmaps that `dirtyRanges` will be asked for. */
  readonly bitmaps?: readonly string[];
  /** How the server of an `nbds` URI proves who it is, in place of what the URI says. */
  readonly tls?: TlsServer;
  /** For the files that a URI names. */
  readonly files?: Pick<FileSystem, 'readFile' | 'stat'>;
  /** Ends the connection: requests under way reject with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** The length of one request: enough for speed, and small enough for slow servers. */
const REQUEST_LENGTH_MAX = 2 * MiB;
const ZERO_LENGTH_MAX = GiB;

/** The time that a server may need to spin up its disks. */
const SILENCE_MS = 120_000;

/**
 * Rejects SystemError (UNREACHABLE, NOT_FOUND; DENIED for a server that TLS does not prove to be the one meant) or
 * BlockError, naming what the server refused; with the signal's reason if it was aborted.
 */
export async function openNbdDisk(uri: string, options: NbdOptions = {}): Promise<NbdDisk> {
  const { silenceMs = SILENCE_MS, bitmaps = [], signal } = options;
  const place = parseNbdUri(uri);
  const tls = await tlsOf(uri, place, options);
  signal?.throwIfAborted();
  const stream = await connect(place.address, signal).catch((cause: unknown) => {
    signal?.throwIfAborted();
    throw cause;
  });
  const leave = (): void => stream.destroy();
  signal?.addEventListener('abort', leave, { once: true });
  try {
    signal?.throwIfAborted();
    stream.limitSilence(silenceMs);
    const chosen = await chooseExport(stream, { name: place.name, tls, bitmaps });
    return diskOf(uri, stream, { ...chosen, silenceMs, signal }, () =>
      signal?.removeEventListener('abort', leave),
    );
  } catch (cause) {
    signal?.removeEventListener('abort', leave);
    stream.destroy();
    signal?.throwIfAborted();
    throw ofExport(uri, cause);
  }
}

async function tlsOf(
  uri: string,
  place: NbdPlace,
  { tls, files = realFileSystem() }: NbdOptions,
): Promise<TlsServer | undefined> {
  return place.tls && (tls ?? (await tlsServer(files, uri, place.tls)));
}

/** The failure of a handshake, with the export's name. */
function ofExport(uri: string, cause: unknown): unknown {
  if (cause instanceof BlockError) {
    return new BlockError(cause.code, `${uri}: ${cause.message}`, { cause });
  }
  if (cause instanceof SystemError) {
    return new SystemError(cause.code, `${uri}: ${cause.message}`, { cause });
  }
  return cause;
}

function diskOf(
  uri: string,
  stream: ByteStream,
  { remote, rest, silenceMs, signal }: Chosen & Pick<RequestsOptions, 'silenceMs' | 'signal'>,
  onClose: () => void,
): NbdDisk {
  const { size, blockSize, contexts } = remote;
  const { allocation: allocated, bitmaps, others } = contexts;
  const known = new Set([...(allocated === undefined ? [] : [allocated]), ...bitmaps.values()]);
  const requests = nbdRequests(stream, { uri, rest, contexts: known, silenceMs, signal });
  const device = writeLayer(uri, { size, blockSize }, opsOf(requests, remote, onClose));
  return {
    ...device,
    readOnly: has(remote, 'readOnly'),
    get isGone() {
      return requests.isGone;
    },
    async *dirtyRanges(bitmap, { gap = 0 } = {}) {
      const context = bitmaps.get(bitmap);
      if (context === undefined) throw noBitmap(uri, bitmap, others);
      yield* marked(requests, { context, size, gap });
    },
  };
}

const NAMED_MAX = 5;

function noBitmap(uri: string, bitmap: string, others: readonly string[]): BlockError {
  const named = others.slice(0, NAMED_MAX).map((it) => `"${printable(it)}"`);
  const more = others.length > NAMED_MAX ? ` and ${others.length - NAMED_MAX} more` : '';
  const has = named.length === 0 ? 'no dirty bitmaps' : `${named.join(', ')}${more}`;
  return new BlockError(
    'NO_BITMAP',
    `${uri}: the NBD server does not offer the dirty bitmap "${bitmap}" (it offers ${has}), so all of the disk has ` +
      'to be read',
  );
}

function has({ flags }: RemoteExport, flag: keyof typeof TRANSMISSION_FLAGS): boolean {
  return (flags & TRANSMISSION_FLAGS[flag]) !== 0;
}

function opsOf(requests: NbdRequests, remote: RemoteExport, onClose: () => void): WriteOps {
  const lengthMax = Math.min(REQUEST_LENGTH_MAX, remote.payloadMax);
  const fua = has(remote, 'sendFua') ? COMMAND_FLAGS.fua : 0;

  async function flush(): Promise<void> {
    if (!has(remote, 'sendFlush')) return;
    await requests.send({ command: COMMANDS.flush, flags: 0, offset: 0, length: 0 });
  }
  async function made(durable: boolean): Promise<void> {
    if (durable && fua === 0) await flush();
  }
  function refuseReadOnly(): void {
    if (has(remote, 'readOnly')) throw new BlockError('READ_ONLY', 'the export is read-only');
  }
  const ops: WriteOps = {
    async read(into, offset) {
      await inPieces(offset, into.length, lengthMax, (at, length) => {
        const part = into.subarray(at - offset, at - offset + length);
        const request = { command: COMMANDS.read, flags: 0, offset: at, length };
        return requests.read(request, part);
      });
    },
    async write(from, offset, durability) {
      refuseReadOnly();
      const durable = durability === 'durable';
      await inPieces(offset, from.length, lengthMax, (at, length) => {
        const flags = durable ? fua : 0;
        const part = from.subarray(at - offset, at - offset + length);
        return requests.send({ command: COMMANDS.write, flags, offset: at, length }, part);
      });
      await made(durable);
    },
    flush,
    async close() {
      onClose();
      requests.end();
    },
  };
  if (has(remote, 'sendWriteZeroes')) {
    ops.zero = async (offset, length, durability) => {
      refuseReadOnly();
      const durable = durability === 'durable';
      await inPieces(offset, length, ZERO_LENGTH_MAX, (at, count) => {
        const flags = durable ? fua : 0;
        return requests.send({ command: COMMANDS.writeZeroes, flags, offset: at, length: count });
      });
      await made(durable);
    };
  }
  const { allocation: context } = remote.contexts;
  if (context !== undefined) {
    ops.extents = (at, length) => allocation(requests, context, { at, end: at + length });
  }
  return ops;
}

async function inPieces(
  offset: number,
  length: number,
  lengthMax: number,
  work: (at: number, length: number) => Promise<void>,
): Promise<void> {
  if (length <= lengthMax) return work(offset, length);
  const pieces: Promise<void>[] = [];
  for (let at = offset; at < offset + length; at += lengthMax) {
    pieces.push(work(at, Math.min(lengthMax, offset + length - at)));
  }
  await allDone(pieces);
}
