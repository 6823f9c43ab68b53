/** A bug in our own code. Never caught on purpose: the process ends, systemd restarts it. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError';
}

/** States what must be true if this program is correct. Never for bytes that a peer or a disk gave us. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}
