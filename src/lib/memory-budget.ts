/**
 * Memory that many users share, so that their sum is bounded and none of them starves the others. One may hold as
 * much as is still free for all: alone half of it, and less the more the others hold, so that something is always
 * left for the next. A user that holds nothing always gets `own`: it never waits for what others have.
 */
export interface MemoryBudget {
  join(): MemoryShare;
  /** The bytes that all users hold together. */
  readonly held: number;
}

export interface MemoryShare {
  /** Takes and returns what may be held now: all of `length`, a part if this user holds nothing yet, or 0. */
  take(length: number): number;
  /** Takes all of them or none, and returns whether it did. */
  takeAll(length: number): boolean;
  /** Resolves once all of them are held. A length above `own` waits for as long as others hold the memory. */
  all(length: number): Promise<void>;
  give(length: number): void;
  /** Counts all of them regardless of what others hold: they are in memory already. */
  hold(length: number): void;
  /**
   * This user holds more than its own and more than is still free for all: it should start nothing that it must
   * `hold`.
   */
  readonly isTight: boolean;
}

/** The sum is at most `max`, plus `own` for each user. */
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
