/**
 * Memory that many share, so that their sum has a bound and none of them takes it from the others. One may hold as
 * much as is still free for all: alone half of it, with others that wait ever less, so that something is always left
 * for the next. One that holds nothing always gets `own`: it never waits for what others have.
 */
export interface MemoryBudget {
  join(): MemoryShare;
  /** By all of them. */
  readonly held: number;
}

export interface MemoryShare {
  /** How many of the bytes may be held now: all of them, a part if nothing is held yet, or 0. */
  take(length: number): number;
  /** Whether all of them are held now; else none are. */
  takeAll(length: number): boolean;
  /** Resolves once all of them are held. What is longer than `own` waits for as long as others have the memory. */
  all(length: number): Promise<void>;
  give(length: number): void;
  /** All of them are held, whatever others hold: they are in memory already. */
  hold(length: number): void;
  /** It holds more than its own, and as much as is still free for all: it is to take on nothing that it must `hold`. */
  readonly isTight: boolean;
}

/** The sum is at most `max`, and `own` for each that shares it. */
export function memoryBudget({ max, own }: { readonly max: number; readonly own: number }) {
  let total = 0;
  let waiting: (() => void)[] = [];
  const budget: MemoryBudget = {
    get held() {
      return total;
    },
    join() {
      let held = 0;
      const share: MemoryShare = {
        take(length) {
          const fits = held + length <= max - total;
          const granted = fits ? length : held === 0 ? Math.min(length, own) : 0;
          held += granted;
          total += granted;
          return granted;
        },
        takeAll(length) {
          const fits = held + length <= max - total;
          const isOwn = held === 0 && (length <= own || total === 0);
          if (!fits && !isOwn) return false;
          held += length;
          total += length;
          return true;
        },
        async all(length) {
          while (!share.takeAll(length)) {
            await new Promise<void>((resolve) => waiting.push(resolve));
          }
        },
        hold(length) {
          held += length;
          total += length;
        },
        get isTight() {
          return held > own && held > max - total;
        },
        give(length) {
          held -= length;
          total -= length;
          if (waiting.length === 0 || length === 0) return;
          const woken = waiting;
          waiting = [];
          for (const wake of woken) wake();
        },
      };
      return share;
    },
  };
  return budget;
}
