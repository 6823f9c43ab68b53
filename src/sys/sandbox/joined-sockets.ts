import type { Socket } from 'node:net';

/** What one side sends, the other gets, each half to its end. Both must have been made with `allowHalfOpen`. */
export function joinSockets(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.pipe(to);
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroySoon());
  }
}
