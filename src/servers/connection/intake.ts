/**
 * Data from a peer, parsed as far as the limits allow. While too much is under way the rest is kept, and nothing is
 * read from the peer.
 */
export interface Intake {
  /** Takes received bytes; they are lent until the call returns. */
  push(bytes: Uint8Array): void;
  /** Call it when something was sent or has ended: continues with kept bytes, if allowed. */
  goOn(): void;
  /** Whether a request may be accepted now: the parser asks before each. */
  mayTake(): boolean;
  /** Ends the intake: nothing is accepted from now on, not even kept bytes. */
  end(): void;
}

export interface IntakeOptions {
  /** Parses as much as `mayTake` allows, and returns how far it came. */
  readonly parse: (bytes: Uint8Array) => number;
  readonly isStalled: () => boolean;
  /** Sends the immediate replies to the parsed requests. */
  readonly flush: () => void;
  /** As those of `ByteStream`. */
  readonly pause: () => void;
  readonly resume: () => void;
}

export function intake({ parse, isStalled, flush, pause, resume }: IntakeOptions): Intake {
  let kept: Uint8Array | undefined;
  let isOver = false;

  /** The unparsed rest. */
  function parsed(bytes: Uint8Array): Uint8Array | undefined {
    const done = parse(bytes);
    flush();
    return isOver || done === bytes.length ? undefined : bytes.subarray(done);
  }
  return {
    push(bytes) {
      if (isOver) return;
      if (kept) {
        kept = Buffer.concat([kept, bytes]);
        return;
      }
      kept = parsed(bytes)?.slice();
      if (kept) pause();
    },
    goOn() {
      if (!kept || isOver || isStalled()) return;
      const rest = kept;
      kept = undefined;
      kept = parsed(rest);
      if (!kept && !isOver) resume();
    },
    mayTake: () => !isOver && !isStalled(),
    end() {
      isOver = true;
      kept = undefined;
    },
  };
}
