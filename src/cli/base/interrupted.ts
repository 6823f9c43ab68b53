/** Ctrl-C, SIGTERM, or nobody reads the answer any more. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  /** The terminal went away (SIGHUP): this is no request to stop. */
  readonly isHungUp: boolean;
  constructor(message = '', isHungUp = false) {
    super(message);
    this.isHungUp = isHungUp;
  }
}

/** For what is meant to end by Ctrl-C, so that this is no failure; or by itself, whatever comes first. */
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
