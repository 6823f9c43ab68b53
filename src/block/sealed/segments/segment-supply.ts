import type { Born } from './birth.ts';
import type { Segment } from './segments.ts';

/** The most segments that are made before they are needed. */
const AHEAD_MAX = 2;

/** Makes segments ahead of their use: one, or more where the log overtook that. */
export function segmentSupply(bear: () => Promise<Born>) {
  const ready: Born[] = [];
  let wanted = 0;
  let birth: Promise<void> | undefined;
  let listed: ReadonlySet<number> = new Set();

  /** Makes one after the other: each lists those before it. */
  function begin(): Promise<void> {
    return (birth ??= bear()
      .then((born) => {
        ready.push(born);
        listed = born.listed;
      })
      .finally(() => (birth = undefined)));
  }
  function prepare(): void {
    if (birth || ready.length >= wanted) return;
    // The caller that needs it tries again.
    begin().then(prepare, () => {});
  }
  return {
    /** Takes the next segment, which is in use from now on. */
    async take(): Promise<Born> {
      if (ready.length === 0) {
        wanted = Math.min(AHEAD_MAX, wanted + 1);
        // That birth may fail for a reason that no longer exists.
        await birth?.catch(() => {});
      }
      while (ready.length === 0) await begin();
      const next = ready.shift()!;
      prepare();
      return next;
    },
    has: (segment: Segment) => ready.some((it) => it.segment === segment),
    /** The number of segments made, or begun, but not in use. */
    get ahead() {
      return ready.length + (birth ? 1 : 0);
    },
    get listed() {
      return listed;
    },
    async settled(): Promise<void> {
      wanted = 0;
      await birth?.catch(() => {});
    },
  };
}
