import {
  BASE_ALLOCATION,
  decodeString,
  encodeOptionReply,
  encodeString,
  HANDSHAKE_FLAGS,
  type HeaderStyle,
  INFOS,
  NBD_MAGIC,
  OPTION_HEADER_LENGTH,
  OPTION_MAGIC,
  OPTION_REPLIES,
  OPTIONS,
  PAYLOAD_LENGTH_MAX,
  STRING_LENGTH_MAX,
  TRANSMISSION_FLAGS,
} from '../../formats/wire/nbd.ts';
import { concatBytes, utf8, viewOf } from '../../lib/bytes.ts';

/*
 * "Fixed newstyle negotiation" as a state machine: bytes of the peer in, replies out. It does no I/O, holds at most
 * one option, and knows only those facts of exports that a peer may learn.
 */

export interface Offer {
  readonly name: string;
  readonly description: string;
  readonly size: number;
  /** The unit of requests advertised to clients; other requests are answered nevertheless. */
  readonly sectorSize: number;
  readonly blockSize: number;
  readonly readOnly: boolean;
}

export interface Agreement {
  readonly offer: Offer;
  readonly style: HeaderStyle;
  /** Whether `base:allocation` may be asked for. */
  readonly allocation: boolean;
}

type Outcome =
  | { readonly kind: 'more' }
  | { readonly kind: 'close' }
  /** What follows is a TLS handshake. */
  | { readonly kind: 'tls' }
  /** Requests begin at `rest`. */
  | { readonly kind: 'agreed'; readonly agreement: Agreement; readonly rest: Uint8Array };

interface HandshakeOptions {
  readonly offers: () => Iterable<Offer>;
  /** Whether clients may omit the name of a single export. */
  readonly hasDefault: boolean;
  /** `require`: before TLS nothing is listed or served. */
  readonly tls: 'none' | 'allow' | 'require';
}

interface Handshake {
  readonly greeting: Uint8Array;
  /** Takes received bytes; `send` gets the replies in order. */
  push(bytes: Uint8Array, send: (reply: Uint8Array) => void): Outcome;
  /** TLS is established: earlier agreements are dropped. */
  secured(): void;
}

/** More than any client sends; negotiations must end. */
const OPTIONS_MAX = 256;
const OPTION_LENGTH_MAX = 16 * 1024;
/**
 * After so many bytes of lists no further list is sent: a list of all exports for each option would fill memory for a
 * peer that reads nothing. A single list of any length is always sent.
 */
const LISTED_LENGTH_MAX = 256 * 1024;
const FLAGS_LENGTH = 4;
const META_CONTEXT_ID = 1;
/** The zeros in the reply to EXPORT_NAME, unless the client asked to omit them. */
const EXPORT_NAME_ZEROES = 124;

export function handshake(options: HandshakeOptions): Handshake {
  const talk = negotiation(options);
  let pending: Uint8Array = new Uint8Array(0);
  let flagsSeen = false;
  let count = 0;
  let listed = 0;

  /** The client's flags, which come before all options. */
  function flags(): Outcome | undefined {
    if (pending.length < FLAGS_LENGTH) return { kind: 'more' };
    const given = viewOf(pending).getUint32(0);
    const known = HANDSHAKE_FLAGS.fixedNewstyle | HANDSHAKE_FLAGS.noZeroes;
    if ((given & ~known) !== 0) return { kind: 'close' };
    talk.setNoZeroes((given & HANDSHAKE_FLAGS.noZeroes) !== 0);
    flagsSeen = true;
    pending = pending.subarray(FLAGS_LENGTH);
    return undefined;
  }
  return {
    greeting: greeting(),
    push(bytes, send) {
      pending = pending.length === 0 ? bytes.slice() : concatBytes(pending, bytes);
      const early = flagsSeen ? undefined : flags();
      if (early) return early;
      while (pending.length >= OPTION_HEADER_LENGTH) {
        const view = viewOf(pending);
        const option = view.getUint32(8);
        const length = view.getUint32(12);
        const isTooMuch = ++count > OPTIONS_MAX || listed > LISTED_LENGTH_MAX;
        if (view.getBigUint64(0) !== OPTION_MAGIC || isTooMuch) return { kind: 'close' };
        // Not even read: a correct client sends no such option.
        if (length > OPTION_LENGTH_MAX) {
          send(encodeOptionReply(option, OPTION_REPLIES.tooBig));
          return { kind: 'close' };
        }
        const end = OPTION_HEADER_LENGTH + length;
        if (pending.length < end) break;
        const data = pending.subarray(OPTION_HEADER_LENGTH, end);
        pending = pending.subarray(end);
        const outcome = talk.answer(option, data, (reply) => {
          listed += reply.length;
          send(reply);
        });
        if (!outcome) continue;
        // Bytes from before TLS may be an attacker's: they must not count as the peer's.
        if (outcome.kind === 'tls' && pending.length > 0) return { kind: 'close' };
        return outcome.kind === 'agreed' ? { ...outcome, rest: pending } : outcome;
      }
      return { kind: 'more' };
    },
    secured() {
      talk.secured();
      count = 0;
    },
  };
}

type Answer =
  | Omit<Extract<Outcome, { kind: 'agreed' }>, 'rest'>
  | Extract<Outcome, { kind: 'close' | 'tls' }>;

/** The reply to each option, and the agreements so far. */
function negotiation({ offers, hasDefault, tls }: HandshakeOptions) {
  let noZeroes = false;
  let isSecure = false;
  let style: HeaderStyle = 'simple';
  /** The export for which the context was chosen. */
  let contextOf: string | undefined;

  function find(name: string): Offer | undefined {
    const all = [...offers()];
    const named = all.find((offer) => offer.name === name);
    return named ?? (hasDefault && name === '' && all.length === 1 ? all[0] : undefined);
  }
  function agreed(offer: Offer): Answer {
    const allocation = contextOf === offer.name;
    return { kind: 'agreed', agreement: { offer, style, allocation } };
  }
  function chooseStyle(option: number): void {
    if (option === OPTIONS.extendedHeaders) style = 'extended';
    else if (style === 'simple') style = 'structured';
  }
  /** Answers options that must not have data. */
  function answerBare(option: number, reply: ReplyWith): Answer | undefined {
    if (option === OPTIONS.list) {
      for (const { name, description } of offers()) {
        reply(OPTION_REPLIES.server, concatBytes(encodeString(name), utf8(description)));
      }
    } else if (option === OPTIONS.startTls) {
      if (tls === 'none') return reply(OPTION_REPLIES.policy, 'TLS is not configured here');
      if (isSecure) return reply(OPTION_REPLIES.invalid, 'TLS is established already');
    } else {
      chooseStyle(option);
    }
    reply(OPTION_REPLIES.ack);
    return option === OPTIONS.startTls ? { kind: 'tls' } : undefined;
  }
  return {
    setNoZeroes(value: boolean): void {
      noZeroes = value;
    },
    secured(): void {
      isSecure = true;
      style = 'simple';
      contextOf = undefined;
    },
    /** Undefined: continue with the next option. */
    answer(
      option: number,
      data: Uint8Array,
      send: (reply: Uint8Array) => void,
    ): Answer | undefined {
      const reply: ReplyWith = (code, text = '') => {
        const bytes = typeof text === 'string' ? Buffer.from(text) : text;
        send(encodeOptionReply(option, code, bytes));
        return undefined;
      };
      if (tls === 'require' && !isSecure && !isAllowedInTheClear(option)) {
        if (option === OPTIONS.exportName) return { kind: 'close' };
        return reply(OPTION_REPLIES.tlsRequired, 'this server requires TLS first');
      }
      switch (option) {
        case OPTIONS.exportName: {
          const offer = find(Buffer.from(data).toString('utf8'));
          if (!offer) return { kind: 'close' };
          send(exportNameReply(offer, style, noZeroes));
          return agreed(offer);
        }
        case OPTIONS.abort:
          reply(OPTION_REPLIES.ack);
          return { kind: 'close' };
        case OPTIONS.list:
        case OPTIONS.startTls:
        case OPTIONS.structuredReply:
        case OPTIONS.extendedHeaders:
          if (data.length === 0) return answerBare(option, reply);
          return reply(OPTION_REPLIES.invalid, 'this option has no data');
        case OPTIONS.info:
        case OPTIONS.go: {
          const offer = answerInfo(data, { find, style, reply });
          return offer && option === OPTIONS.go ? agreed(offer) : undefined;
        }
        case OPTIONS.listMetaContext:
          return answerListMeta(data, { find, reply });
        case OPTIONS.setMetaContext:
          contextOf = answerSetMeta(data, { find, style, reply });
          return undefined;
        default:
          return reply(OPTION_REPLIES.unsupported, 'unknown option');
      }
    },
  };
}

interface Asked {
  readonly find: (name: string) => Offer | undefined;
  readonly reply: ReplyWith;
}

function answerInfo(
  data: Uint8Array,
  { find, style, reply }: Asked & { readonly style: HeaderStyle },
): Offer | undefined {
  const name = decodeString(data, 0);
  const requests = name && infoRequests(data, name.end);
  if (!name || !requests) return reply(OPTION_REPLIES.invalid, 'malformed INFO or GO');
  const offer = find(name.text);
  if (!offer) return reply(OPTION_REPLIES.unknown, 'no such export');
  reply(OPTION_REPLIES.info, exportInfo(offer, style));
  reply(OPTION_REPLIES.info, blockSizeInfo(offer));
  if (requests.includes(INFOS.name)) reply(OPTION_REPLIES.info, textInfo(INFOS.name, offer.name));
  if (requests.includes(INFOS.description)) {
    reply(OPTION_REPLIES.info, textInfo(INFOS.description, offer.description));
  }
  reply(OPTION_REPLIES.ack);
  return offer;
}

function answerListMeta(data: Uint8Array, { find, reply }: Asked): undefined {
  const asked = metaQueries(data);
  if (!asked) return reply(OPTION_REPLIES.invalid, 'malformed LIST_META_CONTEXT');
  if (!find(asked.name)) return reply(OPTION_REPLIES.unknown, 'no such export');
  const { queries } = asked;
  if (queries.length === 0 || queries.includes('base:') || queries.includes(BASE_ALLOCATION)) {
    reply(OPTION_REPLIES.metaContext, concatBytes(new Uint8Array(4), utf8(BASE_ALLOCATION)));
  }
  return reply(OPTION_REPLIES.ack);
}

/** The name of the export for which the context is chosen now. */
function answerSetMeta(
  data: Uint8Array,
  { find, style, reply }: Asked & { readonly style: HeaderStyle },
): string | undefined {
  const asked = metaQueries(data);
  if (!asked || style === 'simple') {
    return reply(OPTION_REPLIES.invalid, 'malformed, or structured replies not agreed on');
  }
  const offer = find(asked.name);
  if (!offer) return reply(OPTION_REPLIES.unknown, 'no such export');
  const isChosen = asked.queries.includes(BASE_ALLOCATION);
  if (isChosen) {
    const id = new Uint8Array(4);
    viewOf(id).setUint32(0, META_CONTEXT_ID);
    reply(OPTION_REPLIES.metaContext, concatBytes(id, utf8(BASE_ALLOCATION)));
  }
  reply(OPTION_REPLIES.ack);
  return isChosen ? offer.name : undefined;
}

/** Answers nothing, so that refusals can be returned. */
type ReplyWith = (code: number, text?: Uint8Array | string) => undefined;

/** "TLS-only mode": the options allowed before TLS. */
function isAllowedInTheClear(option: number): boolean {
  return option === OPTIONS.startTls || option === OPTIONS.abort;
}

function greeting(): Uint8Array {
  const bytes = new Uint8Array(18);
  const view = viewOf(bytes);
  view.setBigUint64(0, NBD_MAGIC);
  view.setBigUint64(8, OPTION_MAGIC);
  view.setUint16(16, HANDSHAKE_FLAGS.fixedNewstyle | HANDSHAKE_FLAGS.noZeroes);
  return bytes;
}

function transmissionFlags({ readOnly }: Offer, style: HeaderStyle): number {
  const {
    hasFlags,
    sendFlush,
    sendFua,
    sendTrim,
    sendWriteZeroes,
    sendFastZero,
    sendDf,
    canMultiConn,
    sendCache,
  } = TRANSMISSION_FLAGS;
  const writing = sendFua | sendTrim | sendWriteZeroes | sendFastZero;
  return (
    hasFlags |
    sendFlush |
    canMultiConn |
    sendCache |
    (readOnly ? TRANSMISSION_FLAGS.readOnly : writing) |
    (style === 'simple' ? 0 : sendDf)
  );
}

function exportNameReply(offer: Offer, style: HeaderStyle, noZeroes: boolean): Uint8Array {
  const bytes = new Uint8Array(10 + (noZeroes ? 0 : EXPORT_NAME_ZEROES));
  const view = viewOf(bytes);
  view.setBigUint64(0, BigInt(offer.size));
  view.setUint16(8, transmissionFlags(offer, style));
  return bytes;
}

function exportInfo(offer: Offer, style: HeaderStyle): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = viewOf(bytes);
  view.setUint16(0, INFOS.export);
  view.setBigUint64(2, BigInt(offer.size));
  view.setUint16(10, transmissionFlags(offer, style));
  return bytes;
}

function blockSizeInfo({ sectorSize, blockSize }: Offer): Uint8Array {
  const bytes = new Uint8Array(14);
  const view = viewOf(bytes);
  view.setUint16(0, INFOS.blockSize);
  view.setUint32(2, sectorSize);
  view.setUint32(6, blockSize);
  view.setUint32(10, PAYLOAD_LENGTH_MAX);
  return bytes;
}

function textInfo(info: number, text: string): Uint8Array {
  const bytes = Buffer.from(`\0\0${text}`).subarray(0, STRING_LENGTH_MAX);
  bytes.writeUInt16BE(info);
  return bytes;
}

function infoRequests(data: Uint8Array, at: number): number[] | undefined {
  if (data.length - at < 2) return undefined;
  const view = viewOf(data);
  const count = view.getUint16(at);
  if (data.length !== at + 2 + 2 * count) return undefined;
  return Array.from({ length: count }, (_, index) => view.getUint16(at + 2 + 2 * index));
}

function metaQueries(
  data: Uint8Array,
): { readonly name: string; readonly queries: readonly string[] } | undefined {
  const name = decodeString(data, 0);
  if (!name || data.length - name.end < 4) return undefined;
  const count = viewOf(data).getUint32(name.end);
  const queries: string[] = [];
  let at = name.end + 4;
  for (let index = 0; index < count; index++) {
    const query = decodeString(data, at);
    if (!query) return undefined;
    queries.push(query.text);
    at = query.end;
  }
  return at === data.length ? { name: name.text, queries } : undefined;
}
