/**
 * What a peer sends, parsed as far as it may be. While too much is under way the rest is kept, and the peer is not
 * listened to.
 */
export interface Intake {
  /** Takes what came; the bytes are lent until the call returns. */
  push(bytes: Uint8Array): void;
  /** Something was sent or has ended: goes on with what was kept, if it may. */
  goOn(): void;
  /** Whether a request may be taken now: the parser asks before each. */
  mayTake(): boolean;
  /** Nothing is taken any more, not even what was kept. */
  end(): void;
}

export interface IntakeOptions {
  /** Parses as much as `mayTake` allows, and returns how far it came. */
  readonly parse: (bytes: Uint8Array) => number;
  readonly isStalled: () => boolean;
  /** Sends what the parsed requests were answered at once. */
  readonly flush: () => void;
  /** As those of `ByteStream`. */
  readonly pause: () => void;
  readonly resume: () => void;
}

export function intake({ parse, isStalled, flush, pause, resume }: IntakeOptions): Intake {
  let kept: Uint8Array | undefined;
  let isOver = false;

  /** What of them is left. */
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
