import { SystemError, systemError } from '../base/system-error.ts';

/** What is piped into this process, in pieces. */
export interface StandardInput extends AsyncDisposable {
  /** Fills a part of `into`; 0: the end. Rejects with the signal's reason once that is aborted. */
  read(into: Uint8Array): Promise<number>;
}

/** Throws INVALID if it is a terminal. Disposing lets the process end although a writer is still there. */
export function standardInput(signal: AbortSignal): StandardInput {
  const { stdin } = process;
  if (stdin.isTTY) {
    throw new SystemError('INVALID', 'standard input is a terminal: pipe a file into it');
  }
  const pieces: AsyncIterator<Buffer> = stdin[Symbol.asyncIterator]();
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => {});
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort);
  let rest: Uint8Array = new Uint8Array(0);

  async function next(): Promise<Uint8Array | undefined> {
    signal.throwIfAborted();
    try {
      const piece = await Promise.race([pieces.next(), aborted.promise]);
      return piece.done ? undefined : piece.value;
    } catch (cause) {
      throw signal.aborted ? cause : systemError(cause, 'read standard input');
    }
  }
  return {
    async read(into) {
      while (rest.length === 0) {
        const piece = await next();
        if (!piece) return 0;
        rest = piece;
      }
      const length = Math.min(rest.length, into.length);
      into.set(rest.subarray(0, length));
      rest = rest.subarray(length);
      return length;
    },
    async [Symbol.asyncDispose]() {
      signal.removeEventListener('abort', onAbort);
      stdin.destroy();
    },
  };
}
