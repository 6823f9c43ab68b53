import type { Echo } from '../../formats/wire/nbd.ts';

/** Begins what takes a while; `work` answers what is to be said once it is done. */
export type Run = (echo: Echo, length: number, work: () => Promise<() => void>) => void;

export type Accounts = ReturnType<typeof openAccounts>;

/** How much is under way; `onTurn` is called once in a turn of the event loop in which some ended. */
export function openAccounts(onTurn: () => void) {
  let running = 0;
  let runningLength = 0;
  let isTurnComing = false;
  const idle: (() => void)[] = [];

  function endSoon(): void {
    if (isTurnComing) return;
    isTurnComing = true;
    setImmediate(() => {
      isTurnComing = false;
      onTurn();
    });
  }
  return {
    get running() {
      return running;
    },
    get runningLength() {
      return runningLength;
    },
    begin(length: number): () => void {
      running++;
      runningLength += length;
      return () => {
        running--;
        runningLength -= length;
        endSoon();
        if (running === 0) for (const resolve of idle.splice(0)) resolve();
      };
    },
    idle: () => (running === 0 ? Promise.resolve() : new Promise<void>((r) => idle.push(r))),
  };
}
