import {
  BASE_ALLOCATION,
  decodeMetaContext,
  DIRTY_BITMAP,
  encodeContextQuery,
  encodeOption,
  encodeString,
  GREETING_LENGTH,
  HANDSHAKE_FLAGS,
  INFOS,
  NBD_MAGIC,
  OPTION_MAGIC,
  OPTION_REPLIES,
  OPTIONS,
} from '../../formats/wire/nbd.ts';
import { printable } from '../../lib/printable.ts';
import type { ByteStream } from '../../sys/net/network.ts';
import type { TlsServer } from '../../sys/net/tls-client.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { BlockError } from '../block-error.ts';
import { type Answer, type Options, optionsOver } from './nbd-options.ts';
import { viewOf } from '../../lib/bytes.ts';

/** The properties of an export that a server reports. */
export interface RemoteExport {
  readonly size: number;
  readonly flags: number;
  /** The largest payload of a request. */
  readonly payloadMax: number;
  readonly blockSize: number;
  readonly contexts: Contexts;
}

/** The contexts by which the server tells about ranges: their numbers in its replies. */
export interface Contexts {
  /** Undefined: it does not distinguish data from holes. */
  readonly allocation: number | undefined;
  /** The dirty bitmaps that were asked for and that there are, by name. */
  readonly bitmaps: ReadonlyMap<string, number>;
  /** Names of the dirty bitmaps that the export has, where one of those asked for is not among these; for messages. */
  readonly others: readonly string[];
}

export interface Wanted {
  readonly name: string;
  readonly tls: TlsServer | undefined;
  readonly bitmaps: readonly string[];
}

export interface Chosen {
  readonly remote: RemoteExport;
  /** Bytes that came after the handshake. */
  readonly rest: Uint8Array;
}

/** "Block size constraints": the limit where a server does not state one. */
const PAYLOAD_MAX = 32 * 1024 * 1024;
const BLOCK_SIZE = 4096;
const NOTHING = new Uint8Array(0);

/**
 * Begins TLS if it is wanted, negotiates structured replies and block status where the server supports them, and
 * chooses the export: by GO, or by EXPORT_NAME where the server does not know that (xapi of XCP-ng).
 * Rejects IO; DENIED for a server that TLS does not prove to be the one meant; UNREACHABLE.
 */
export async function chooseExport(stream: ByteStream, wanted: Wanted): Promise<Chosen> {
  const options = optionsOver(stream);
  stream.start();
  const flags = await greet(options);
  const { name, tls, bitmaps } = wanted;
  if (tls) await beginTls(stream, options, tls);
  const structured = await options.ask(OPTIONS.structuredReply, NOTHING).catch((cause: unknown) => {
    throw tls && options.isOver ? afterTls(cause) : cause;
  });
  const contexts = allowed(structured).ok
    ? await chooseContexts(options, name, bitmaps)
    : NO_CONTEXTS;
  const data = Buffer.concat([encodeString(name), Buffer.from([0, 1, 0, INFOS.blockSize])]);
  const go = allowed(await options.ask(OPTIONS.go, data));
  if (go.ok) return { remote: exportOf(go.data, contexts), rest: options.rest() };
  if (go.reply !== OPTION_REPLIES.unsupported) {
    throw new BlockError('IO', `the NBD server refuses export "${name}": ${said(go)}`);
  }
  return { remote: await byName(options, name, { flags, contexts }), rest: options.rest() };
}

/** Resolves with the flags that both sides have. */
async function greet({ take, send }: Options): Promise<number> {
  const greeting = viewOf(await take(GREETING_LENGTH));
  if (greeting.getBigUint64(0) !== NBD_MAGIC || greeting.getBigUint64(8) !== OPTION_MAGIC) {
    throw new BlockError('IO', 'the peer is not an NBD server, or an old-style one');
  }
  const flags = greeting.getUint16(16);
  if ((flags & HANDSHAKE_FLAGS.fixedNewstyle) === 0) {
    throw new BlockError('IO', 'the NBD server is older than fixed newstyle negotiation (2011)');
  }
  const common = flags & (HANDSHAKE_FLAGS.fixedNewstyle | HANDSHAKE_FLAGS.noZeroes);
  const answer = Buffer.alloc(4);
  answer.writeUInt32BE(common);
  send(answer);
  return common;
}

/** Nothing is sent in the clear instead: an attacker who can change the answer could make every server refuse. */
async function beginTls(stream: ByteStream, options: Options, tls: TlsServer): Promise<void> {
  const answer = await options.ask(OPTIONS.startTls, NOTHING);
  if (!answer.ok) {
    throw new BlockError(
      'IO',
      `the NBD server refuses TLS (${said(answer)}): nothing was read. Configure TLS there, or, if the network in ` +
        'between is trusted, write nbd:// for nbds://',
    );
  }
  // Bytes that an attacker in between put in front of the server's would count as protected by TLS.
  if (options.rest().length > 0) {
    throw new BlockError('IO', 'the NBD server sent data before TLS had begun');
  }
  await stream.secureTo(tls);
}

/** Throws if the server wants TLS first. */
function allowed(answer: Answer): Answer {
  if (answer.reply !== OPTION_REPLIES.tlsRequired) return answer;
  throw new BlockError(
    'IO',
    'the NBD server requires TLS: write nbds:// for nbd://, with tls-certificates=DIR (ca-cert.pem, and where it ' +
      'demands them client-cert.pem and client-key.pem), tls-fingerprint=SHA256 or tls-psk-file=FILE',
  );
}

/** In TLS 1.3 a client learns only after the handshake that its certificate is not enough, if it is told at all. */
function afterTls(cause: unknown): unknown {
  // It was silent.
  if (cause instanceof SystemError) return cause;
  const { code } = cause as NodeJS.ErrnoException;
  const reason = cause instanceof BlockError || code === undefined ? '' : ` (${code})`;
  return new SystemError(
    'DENIED',
    `the NBD server ended the connection when TLS had begun${reason}: does it demand a certificate of its own ` +
      'authority? client-cert.pem and client-key.pem in tls-certificates=DIR are sent',
    { cause },
  );
}

const NO_CONTEXTS: Contexts = { allocation: undefined, bitmaps: new Map(), others: [] };

async function chooseContexts(
  { ask }: Options,
  name: string,
  bitmaps: readonly string[],
): Promise<Contexts> {
  const queries = [BASE_ALLOCATION, ...bitmaps.map((it) => DIRTY_BITMAP + it)];
  const answer = allowed(await ask(OPTIONS.setMetaContext, encodeContextQuery(name, queries)));
  const found = new Map(answer.ok ? contextsIn(answer).map((it) => [it.name, it.id]) : []);
  const isAsked = [...found.keys()].every((it) => queries.includes(it));
  if (!isAsked || new Set(found.values()).size < found.size) {
    throw new BlockError(
      'IO',
      'the NBD server violates the protocol: contexts that were not asked',
    );
  }
  const named = bitmaps.flatMap((it) => {
    const id = found.get(DIRTY_BITMAP + it);
    return id === undefined ? [] : [[it, id] as const];
  });
  const isComplete = named.length === bitmaps.length;
  const others = isComplete
    ? []
    : contextsIn(await ask(OPTIONS.listMetaContext, encodeContextQuery(name, [DIRTY_BITMAP])))
        .filter((it) => it.name.startsWith(DIRTY_BITMAP))
        .map((it) => it.name.slice(DIRTY_BITMAP.length));
  return { allocation: found.get(BASE_ALLOCATION), bitmaps: new Map(named), others };
}

function contextsIn({ data }: Answer) {
  return data.flatMap(({ reply, bytes }) => {
    const context = reply === OPTION_REPLIES.metaContext ? decodeMetaContext(bytes) : undefined;
    return context ? [context] : [];
  });
}

function exportOf(data: Answer['data'], contexts: Contexts): RemoteExport {
  let size: number | undefined;
  let flags = 0;
  let payloadMax = PAYLOAD_MAX;
  let blockSize = BLOCK_SIZE;
  for (const { bytes } of data.filter(({ reply }) => reply === OPTION_REPLIES.info)) {
    const info = bytes.length >= 2 ? viewOf(bytes).getUint16(0) : -1;
    if (info === INFOS.export && bytes.length === 12) {
      size = Number(viewOf(bytes).getBigUint64(2));
      flags = viewOf(bytes).getUint16(10);
    } else if (info === INFOS.blockSize && bytes.length === 14) {
      blockSize = viewOf(bytes).getUint32(6);
      payloadMax = Math.min(PAYLOAD_MAX, viewOf(bytes).getUint32(10));
    }
  }
  const isPlausible = blockSize >= 512 && Number.isInteger(Math.log2(blockSize));
  return {
    size: plausible(size),
    flags,
    contexts,
    payloadMax: Math.max(payloadMax, BLOCK_SIZE),
    blockSize: isPlausible ? blockSize : BLOCK_SIZE,
  };
}

const EXPORT_LENGTH = 10;
/** Unless both sides said that they omit these. */
const ZEROES_LENGTH = 124;

/** "NBD_OPT_EXPORT_NAME": a server that refuses has no way to say so, and ends the connection. */
async function byName(
  { take, send }: Options,
  name: string,
  { flags, contexts }: { readonly flags: number; readonly contexts: Contexts },
): Promise<RemoteExport> {
  send(encodeOption(OPTIONS.exportName, Buffer.from(name)));
  const omits = (flags & HANDSHAKE_FLAGS.noZeroes) !== 0;
  const answer = await take(EXPORT_LENGTH + (omits ? 0 : ZEROES_LENGTH)).catch((cause: unknown) => {
    // A silent server has not refused.
    if (cause instanceof SystemError) throw cause;
    throw new BlockError('IO', `the NBD server refuses export "${name}"`, { cause });
  });
  return {
    size: plausible(Number(viewOf(answer).getBigUint64(0))),
    flags: viewOf(answer).getUint16(8),
    contexts,
    payloadMax: PAYLOAD_MAX,
    blockSize: BLOCK_SIZE,
  };
}

function plausible(size: number | undefined): number {
  if (size !== undefined && Number.isSafeInteger(size)) return size;
  throw new BlockError('IO', 'the NBD server does not report the size of the export');
}

/** Longer than QEMU's sentences. */
const SAID_MAX = 200;

function said({ message }: Answer): string {
  return printable(message.slice(0, SAID_MAX));
}
