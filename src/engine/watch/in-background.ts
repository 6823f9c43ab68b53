/** Work that calls start without waiting for it. */
export function inBackground() {
  const running = new Set<Promise<void>>();
  return {
    run(work: () => Promise<void>): void {
      const it: Promise<void> = work().finally(() => running.delete(it));
      running.add(it);
    },
    async settled(): Promise<void> {
      while (running.size > 0) await Promise.all(running);
    },
  };
}
