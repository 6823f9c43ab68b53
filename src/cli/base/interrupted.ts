/** Ctrl-C, SIGTERM, or the reader of the output has gone. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  /** The terminal has gone (SIGHUP): not a request to stop. */
  readonly isHungUp: boolean;
  constructor(message = '', isHungUp = false) {
    super(message);
    this.isHungUp = isHungUp;
  }
}

/** For work that normally ends by Ctrl-C, so that this is not a failure, or on its own, whichever comes first. */
export async function interruptedOr(signal: AbortSignal, ended: Promise<void>): Promise<void> {
  const interrupted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await Promise.race([interrupted, ended]);
}

export function interrupted(signal: AbortSignal): Promise<void> {
  return interruptedOr(signal, new Promise(() => {}));
}
