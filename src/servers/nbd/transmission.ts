import {
  COMMANDS,
  type HeaderStyle,
  newRequest,
  PAYLOAD_LENGTH_MAX,
  readRequest,
  type Request,
  requestLength,
  requestPayload,
} from '../../formats/wire/nbd.ts';
import type { BufferPool } from '../../lib/buffer-pool.ts';
import type { MemoryShare } from '../../lib/memory-budget.ts';
import { intake } from '../connection/intake.ts';
import { answering, type AnsweringOptions } from './answers.ts';
import type { PartialWrite } from './partial-write.ts';

/**
 * "Transmission phase": requests in, replies out. Data in memory is answered at once, in the loop that parses; the
 * rest is answered when it arrives, in any order. While the peer reads too slowly, or has too much under way, parsing
 * stops.
 */
export interface Transmission {
  /** Takes received bytes; they are lent until the call returns. */
  push(bytes: Uint8Array): void;
  /** Accepts no further requests; resolves when those under way are answered, and the replies sent. */
  stop(): Promise<void>;
  /** Whether every request that came is answered. */
  isIdle(): boolean;
  /** Call it when the peer has gone. */
  abandon(): void;
}

export interface TransmissionOptions extends Omit<AnsweringOptions, 'onBroken'> {
  readonly pause: () => void;
  readonly resume: () => void;
  /** Called when the peer is done, or its data cannot be understood. */
  readonly close: () => void;
}

interface Payload {
  readonly request: Request;
  /** False: refused, and only skipped. */
  readonly isWanted: boolean;
  readonly length: number;
  received: number;
  /** Memory for the next bytes: for all of them if there is enough. */
  part: Uint8Array<ArrayBuffer> | undefined;
  partFilled: number;
  write: PartialWrite | undefined;
}

export function transmission(options: TransmissionOptions): Transmission {
  const { pause, resume, close } = options;
  const answers = answering({ ...options, onBroken: broken }, () => requests.goOn());
  const { accounts } = answers;
  let isOver = false;
  const parser = requestParser(options.agreement.style, {
    wantsPayload: answers.wantsPayload,
    memory: options.memory,
    payloads: options.payloads,
    tryTake: answers.tryWrite,
    take: answers.answer,
    takeInParts: answers.changeInParts,
    mayTake: () => requests.mayTake(),
    end,
  });
  const requests = intake({
    parse: parser.parse,
    isStalled: () => answers.isSending() || accounts.isFull(),
    flush: answers.flush,
    pause,
    resume,
  });

  function takeNoMore(): void {
    isOver = true;
    requests.end();
    parser.drop();
  }
  function end(): void {
    if (isOver) return;
    takeNoMore();
    void accounts.finished().then(close);
  }
  function broken(): void {
    takeNoMore();
    close();
  }
  return {
    push: requests.push,
    stop() {
      takeNoMore();
      return accounts.finished();
    },
    isIdle: accounts.isIdle,
    abandon() {
      takeNoMore();
      answers.abandon();
    },
  };
}

interface ParserEvents {
  /** Whether a payload is worth its memory. */
  wantsPayload(request: Request): boolean;
  readonly memory: MemoryShare;
  readonly payloads: BufferPool;
  /** The whole payload came with its request. Takes it before it returns, or returns false: then use `take`. */
  tryTake(request: Request, payload: Uint8Array): boolean;
  /** `isLast`: nothing received is left. The receiver gives the payload's memory back. */
  take(request: Request, payload: Uint8Array<ArrayBuffer> | undefined, isLast: boolean): void;
  takeInParts(request: Request): PartialWrite;
  mayTake(): boolean;
  /** The rest cannot, or need not, be understood. */
  end(): void;
}

/** Cuts the received bytes into requests and their payloads. */
function requestParser(style: HeaderStyle, events: ParserEvents) {
  const { memory, payloads } = events;
  const headerLength = requestLength(style);
  const head = new Uint8Array(headerLength);
  const headView = new DataView(head.buffer);
  const request = newRequest();
  let headFilled = 0;
  let payload: Payload | undefined;

  /** Begins the request whose payload begins at `at`; returns where the next bytes begin. */
  function begin(bytes: Uint8Array, at: number): number {
    const length = requestPayload(request, style);
    if (request.command === COMMANDS.disconnect || length > PAYLOAD_LENGTH_MAX) {
      events.end();
    } else if (length === 0) {
      events.take(request, undefined, at === bytes.length);
    } else {
      const end = at + length;
      if (end <= bytes.length && events.tryTake(request, bytes.subarray(at, end))) return end;
      payload = {
        ...{ request: { ...request }, isWanted: events.wantsPayload(request), length },
        ...{ received: 0, part: undefined, partFilled: 0, write: undefined },
      };
    }
    return at;
  }
  /** Undefined: there is none until a write of this connection is done. */
  function partOf(open: Payload): Uint8Array<ArrayBuffer> | undefined {
    const length = memory.take(open.length - open.received);
    return length > 0 ? payloads.take(length) : undefined;
  }
  /** Returns how far it came: not to the end if it has to wait. */
  function fill(open: Payload, bytes: Uint8Array): number {
    if (open.isWanted && !(open.part ??= partOf(open))) return 0;
    const room = open.part ? open.part.length - open.partFilled : open.length - open.received;
    const count = Math.min(room, bytes.length);
    open.part?.set(bytes.subarray(0, count), open.partFilled);
    open.received += count;
    open.partFilled += count;
    if (count === room) put(open);
    return count;
  }
  function put(open: Payload): void {
    const { part, length, received } = open;
    const isAll = received === length;
    if (isAll) payload = undefined;
    open.part = undefined;
    open.partFilled = 0;
    if (!part || part.length === length) return events.take(open.request, part, false);
    open.write ??= events.takeInParts(open.request);
    open.write.put(part, received - part.length);
    if (isAll) open.write.end();
  }
  return {
    /** Drops a request that will stay incomplete. */
    drop(): void {
      if (payload?.part) {
        memory.give(payload.part.length);
        payloads.give(payload.part);
      }
      payload?.write?.drop();
      payload = undefined;
    },
    /** Parses as much as allowed and returns how far it came. */
    parse(bytes: Uint8Array): number {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      let at = 0;
      while (at < bytes.length) {
        if (payload) {
          const count = fill(payload, bytes.subarray(at));
          if (count === 0) return at;
          at += count;
          continue;
        }
        if (!events.mayTake()) return at;
        let known: boolean;
        if (headFilled === 0 && bytes.length - at >= headerLength) {
          known = readRequest(view, at, style, request);
          at += headerLength;
        } else {
          const count = Math.min(headerLength - headFilled, bytes.length - at);
          head.set(bytes.subarray(at, at + count), headFilled);
          at += count;
          headFilled += count;
          if (headFilled < headerLength) continue;
          headFilled = 0;
          known = readRequest(headView, 0, style, request);
        }
        if (known) at = begin(bytes, at);
        else events.end();
      }
      return at;
    },
  };
}
