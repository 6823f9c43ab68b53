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
import { MiB } from '../../lib/sizes.ts';
import { answering, type AnsweringOptions } from './answers.ts';

/**
 * "Transmission phase": requests in, replies out. What is in memory is answered at once, in the loop
 * that parses; the rest is answered when it comes, in any order. While the peer takes too little, or
 * has too much under way, nothing more is parsed.
 */
export interface Transmission {
  /** Takes what came; the bytes are lent until the call returns. */
  push(bytes: Uint8Array): void;
  /** No request is taken any more; resolves when those under way are answered, and that was sent. */
  stop(): Promise<void>;
  /** Whether every request that came is answered. */
  isIdle(): boolean;
  /** The peer has gone. */
  abandon(): void;
}

export interface TransmissionOptions extends AnsweringOptions {
  readonly pause: () => void;
  readonly resume: () => void;
  /** The peer is done, or nothing that it says can be understood. */
  readonly close: () => void;
}

const UNSENT_MAX = MiB;
const RUNNING_MAX = 1024;
const RUNNING_LENGTH_MAX = 2 * PAYLOAD_LENGTH_MAX;

interface Payload {
  readonly request: Request;
  /** Undefined: refused, and only read past. */
  readonly bytes: Uint8Array | undefined;
  readonly length: number;
  filled: number;
}

export function transmission(options: TransmissionOptions): Transmission {
  const { pause, resume, close } = options;
  const answers = answering(options, wake);
  /** What came and was not parsed, because too much was under way. */
  let held: Uint8Array | undefined;
  let isOver = false;
  let onAllSent = (): void => {};
  const parser = requestParser(options.agreement.style, {
    wantsPayload: answers.wantsPayload,
    take: answers.answer,
    mayTake: () => !isOver && !stalled(),
    end,
  });

  function stalled(): boolean {
    return (
      answers.unsent() > UNSENT_MAX ||
      answers.accounts.running >= RUNNING_MAX ||
      answers.accounts.runningLength > RUNNING_LENGTH_MAX
    );
  }
  function end(): void {
    if (isOver) return;
    isOver = true;
    held = undefined;
    void finish().then(close);
  }
  async function finish(): Promise<void> {
    await answers.accounts.idle();
    answers.flush();
    if (answers.unsent() > 0) await new Promise<void>((resolve) => (onAllSent = resolve));
  }
  /** Something was sent or ended. */
  function wake(): void {
    if (answers.unsent() === 0) onAllSent();
    if (!held || isOver || stalled()) return;
    const bytes = held;
    const done = parser.parse(bytes);
    answers.flush();
    held = undefined;
    if (isOver) return;
    if (done < bytes.length) held = bytes.subarray(done);
    else resume();
  }
  return {
    push(bytes) {
      if (isOver) return;
      if (held) {
        held = Buffer.concat([held, bytes]);
        return;
      }
      const done = parser.parse(bytes);
      answers.flush();
      if (done === bytes.length || isOver) return;
      held = bytes.slice(done);
      pause();
    },
    stop() {
      isOver = true;
      held = undefined;
      return finish();
    },
    isIdle: () => answers.accounts.running === 0,
    abandon() {
      isOver = true;
      held = undefined;
    },
  };
}

interface ParserEvents {
  /** Whether a payload is worth its memory. */
  wantsPayload(request: Request): boolean;
  /** `isLast`: nothing that came is left. */
  take(request: Request, payload: Uint8Array | undefined, isLast: boolean): void;
  mayTake(): boolean;
  /** Nothing that follows can be understood, or is meant to be. */
  end(): void;
}

/** Cuts what comes into requests and their payloads. */
function requestParser(style: HeaderStyle, events: ParserEvents) {
  const headerLength = requestLength(style);
  const head = new Uint8Array(headerLength);
  const headView = new DataView(head.buffer);
  const request = newRequest();
  let headFilled = 0;
  let payload: Payload | undefined;

  function begin(isLast: boolean): void {
    const length = requestPayload(request, style);
    if (request.command === COMMANDS.disconnect || length > PAYLOAD_LENGTH_MAX) {
      events.end();
    } else if (length > 0) {
      const wanted = events.wantsPayload(request);
      const bytes = wanted ? Buffer.allocUnsafeSlow(length) : undefined;
      payload = { request: { ...request }, bytes, length, filled: 0 };
    } else {
      events.take(request, undefined, isLast);
    }
  }
  function fill(open: Payload, bytes: Uint8Array): number {
    const count = Math.min(open.length - open.filled, bytes.length);
    open.bytes?.set(bytes.subarray(0, count), open.filled);
    open.filled += count;
    if (open.filled === open.length) {
      payload = undefined;
      events.take(open.request, open.bytes, false);
    }
    return count;
  }
  return {
    /** Parses as much as may be and returns how far it came. */
    parse(bytes: Uint8Array): number {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      let at = 0;
      while (at < bytes.length) {
        if (payload) {
          at += fill(payload, bytes.subarray(at));
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
        if (known) begin(at === bytes.length);
        else events.end();
      }
      return at;
    },
  };
}
