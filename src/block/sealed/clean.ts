export interface Cleaner {
  /** Works while there is more to gain than the limits say. */
  run(): Promise<void>;
  /** Space is short: much less is worth it until that is over. */
  hurry(): void;
  /** Pages copied. */
  readonly copied: number;
}
export function cleaner(): Cleaner {
  return { run: async () => {}, hurry() {}, copied: 0 };
}
