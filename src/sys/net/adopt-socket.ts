import { Socket } from 'node:net';

/**
 * Moves the connection to a socket that reads into `memory`. Node has an option for that (`onread`) but no way to
 * give it to a socket that a server accepted, so its handle moves to a new socket. This relies on internals of Node,
 * whose version is pinned; if they are not as expected, the old socket stays in use.
 */
export function adoptSocket(
  old: Socket,
  memory: Uint8Array,
  onBytes: (bytes: Uint8Array) => void,
): Socket | undefined {
  const inside = old as unknown as { _handle: object | null; _server: unknown; server: unknown };
  const handle = inside._handle;
  if (!handle || old.readableLength > 0 || old.writableLength > 0) return undefined;
  old.pause();
  const next = new Socket({
    handle,
    onread: {
      buffer: memory,
      callback(length: number) {
        onBytes(memory.subarray(0, length));
        return true;
      },
    },
    allowHalfOpen: false,
  } as ConstructorParameters<typeof Socket>[0]);
  // The server counts its connections, and decrements when they end.
  Object.assign(next, { _server: inside._server, server: inside.server });
  inside._handle = null;
  inside._server = null;
  return next;
}
