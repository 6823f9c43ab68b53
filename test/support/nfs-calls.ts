import { deepEqual, equal, ok } from 'node:assert/strict';
import type { XdrWriter } from '../../src/formats/wire/xdr.ts';
import {
  type Args,
  type Attributes,
  readAfter,
  readAttributes,
  readChange,
  rpcClient,
  type RpcClient,
} from './nfs-client.ts';
import { type NfsServer, type NfsServerOptions, serveSession } from './nfs-server.ts';

const MiB = 2 ** 20;

export interface Session extends AsyncDisposable {
  readonly server: NfsServer;
  readonly client: RpcClient;
  /** The session's directory. */
  readonly directory: Uint8Array;
}

export async function session(options: NfsServerOptions = {}): Promise<Session> {
  const server = await serveSession(options);
  const client = await rpcClient(server.target.ports.nfs);
  const { handle } = await client.mount('/holdfast/vm-1');
  return {
    server,
    client,
    directory: handle,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

export const named =
  (directory: Uint8Array, name: string): Args =>
  (to) => {
    to.opaque(directory);
    to.text(name);
  };

export async function lookup(client: RpcClient, directory: Uint8Array, name: string) {
  const { status, results } = await client.nfs('lookup', named(directory, name));
  if (status !== 0) return { status, handle: new Uint8Array(0), attributes: undefined };
  const handle = results.opaque(64).slice();
  return { status, handle, attributes: readAfter(results) };
}

export async function attributes(client: RpcClient, handle: Uint8Array): Promise<Attributes> {
  const { status, results } = await client.nfs('getattr', (to) => to.opaque(handle));
  equal(status, 0);
  return readAttributes(results);
}

export async function read(client: RpcClient, handle: Uint8Array, offset: number, count: number) {
  const { status, results } = await client.nfs('read', (to) => {
    to.opaque(handle);
    to.u64(offset);
    to.u32(count);
  });
  if (status !== 0) return { status, count: 0, isEnd: false, data: new Uint8Array(0) };
  readAfter(results);
  return { status, count: results.u32(), isEnd: results.flag(), data: results.opaque(2 * MiB) };
}

export async function write(
  client: RpcClient,
  handle: Uint8Array,
  { at, data, stable }: { at: number; data: Uint8Array; stable: number },
) {
  const { status, results } = await client.nfs('write', (to) => {
    to.opaque(handle);
    to.u64(at);
    to.u32(data.length);
    to.u32(stable);
    to.opaque(data);
  });
  const change = readChange(results);
  if (status !== 0) return { status, change, count: 0, committed: 0, verifier: '' };
  const [count, committed] = [results.u32(), results.u32()];
  return {
    status,
    change,
    count,
    committed,
    verifier: Buffer.from(results.fixed(8)).toString('hex'),
  };
}

/** sattr3 that sets nothing, or a mode, or a size. */
export const attributesArgs = (
  to: XdrWriter,
  { mode, size }: { mode?: number; size?: number } = {},
): void => {
  to.flag(mode !== undefined);
  if (mode !== undefined) to.u32(mode);
  to.flag(false);
  to.flag(false);
  to.flag(size !== undefined);
  if (size !== undefined) to.u64(size);
  to.u32(0);
  to.u32(0);
};

export async function create(
  client: RpcClient,
  directory: Uint8Array,
  name: string,
  mode: 0 | 1 | Uint8Array = 1,
) {
  const { status, results } = await client.nfs('create', (to) => {
    named(directory, name)(to);
    to.u32(typeof mode === 'number' ? mode : 2);
    if (typeof mode === 'number') attributesArgs(to, { mode: 0o644 });
    else to.fixed(mode);
  });
  if (status !== 0) return { status, handle: new Uint8Array(0) };
  results.flag();
  return { status, handle: results.opaque(64).slice() };
}

export const remove = async (client: RpcClient, directory: Uint8Array, name: string) =>
  (await client.nfs('remove', named(directory, name))).status;

export async function list(
  client: RpcClient,
  directory: Uint8Array,
  { plus, size }: { plus: boolean; size: number },
): Promise<string[]> {
  const found: string[] = [];
  let cookie = 0;
  for (let isEnd = false; !isEnd; ) {
    const { status, results } = await client.nfs(plus ? 'readdirplus' : 'readdir', (to) => {
      to.opaque(directory);
      to.u64(cookie);
      // What an earlier reply held, or anything: it is not looked at.
      to.fixed(new Uint8Array(8));
      to.u32(size);
      if (plus) to.u32(size);
    });
    equal(status, 0);
    readAfter(results);
    deepEqual(results.fixed(8), new Uint8Array(8), 'a constant verifier');
    while (results.flag()) {
      results.skip(8);
      found.push(results.text(255));
      cookie = results.u64();
      if (!plus) continue;
      ok(readAfter(results));
      equal(results.flag(), true);
      results.opaque(64);
    }
    isEnd = results.flag();
  }
  return found;
}
