import { MiB } from '../../lib/sizes.ts';

/**
 * What is under way on one connection, and when it is too much: then no request is taken until something was answered
 * or sent.
 */
export interface Accounts {
  readonly running: number;
  /** One more is under way, with so many bytes of contents, until what is returned is called. */
  begin(length: number): () => void;
  /** The peer takes too little, or has too much under way. */
  isFull(): boolean;
  isIdle(): boolean;
  /** The peer has taken something. */
  onSent(): void;
  /** Resolves once everything is answered and sent, or the peer has gone. */
  finished(): Promise<void>;
  /** The peer has gone. */
  abandon(): void;
}

export interface AccountsOptions {
  readonly runningMax: number;
  /** Bytes of contents under way. */
  readonly runningLengthMax: number;
  /** Bytes of replies that the peer has not taken yet. */
  readonly unsent: () => number;
  /** Sends the replies that there are. */
  readonly flush: () => void;
  /** Something was sent, or has ended. */
  readonly onProgress: () => void;
}

/** A reader slower than we are is waited for: else memory grows, and copies of large disks take twice as long. */
const UNSENT_MAX = MiB;

export function openAccounts(options: AccountsOptions): Accounts {
  const { runningMax, runningLengthMax, unsent, flush, onProgress } = options;
  const waiting: (() => void)[] = [];
  let running = 0;
  let runningLength = 0;
  let isTurnComing = false;

  function release(): void {
    if (waiting.length === 0) return;
    for (const resolve of waiting.splice(0)) resolve();
  }
  function progress(): void {
    if (running === 0 && unsent() === 0) release();
    onProgress();
  }
  /** Replies of one turn of the event loop go out together. */
  function endSoon(): void {
    if (isTurnComing) return;
    isTurnComing = true;
    setImmediate(() => {
      isTurnComing = false;
      flush();
      progress();
    });
  }
  return {
    get running() {
      return running;
    },
    begin(length) {
      running++;
      runningLength += length;
      return () => {
        running--;
        runningLength -= length;
        endSoon();
      };
    },
    isFull: () =>
      unsent() > UNSENT_MAX || running >= runningMax || runningLength > runningLengthMax,
    isIdle: () => running === 0,
    onSent: progress,
    async finished() {
      flush();
      if (running > 0 || unsent() > 0) await new Promise<void>((resolve) => waiting.push(resolve));
    },
    abandon: release,
  };
}
