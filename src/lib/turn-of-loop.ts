/** Resolves once every callback that was due has run: for work that would otherwise keep all others waiting. */
export function turnOfLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
