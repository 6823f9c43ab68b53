import { MiB } from '../../lib/sizes.ts';

/**
 * Counts the requests under way on one connection, and decides when there are too many: then the connection accepts
 * no request until a reply was produced or sent.
 */
export interface Accounts {
  readonly running: number;
  /** Counts a request with `length` bytes of contents as under way until the returned function is called. */
  begin(length: number): () => void;
  /** Whether the peer reads too slowly, or has too much under way. */
  isFull(): boolean;
  isIdle(): boolean;
  /** Call it when the peer has read something. */
  onSent(): void;
  /** Resolves once everything is answered and sent, or the peer has gone. */
  finished(): Promise<void>;
  /** Call it when the peer has gone. */
  abandon(): void;
}

export interface AccountsOptions {
  readonly runningMax: number;
  /** Bytes of contents under way. */
  readonly runningLengthMax: number;
  /** Bytes of replies that the peer has not read yet. */
  readonly unsent: () => number;
  /** Sends the finished replies. */
  readonly flush: () => void;
  /** Called when something was sent, or has ended. */
  readonly onProgress: () => void;
}

/**
 * With more unsent bytes a slow reader is waited for: otherwise memory grows, and copies of large disks take twice as
 * long.
 */
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
