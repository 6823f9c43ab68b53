import { connect } from '../../src/sys/net/network.ts';
import { recordMark, PROGRAMS } from '../../src/formats/wire/rpc.ts';
import { PROCEDURES, type Procedure } from '../../src/formats/wire/nfs3.ts';
import {
  type XdrReader,
  xdrReader,
  type XdrWriter,
  xdrWriter,
} from '../../src/formats/wire/xdr.ts';

/** An RPC client that says exactly what a test wants said. */
export interface RpcClient extends AsyncDisposable {
  call(what: RpcCall): Promise<RpcReply>;
  nfs(procedure: Procedure, args: Args, as?: Credentials): Promise<NfsReply>;
  mount(path: string): Promise<{ status: number; handle: Uint8Array }>;
  /** Bytes as they are; what comes back is in `replies`. */
  send(bytes: Uint8Array): void;
  readonly closed: Promise<void>;
}

export type Args = (writer: XdrWriter) => void;

export interface Credentials {
  readonly uid: number;
  readonly gid: number;
}

export interface RpcCall {
  readonly program: number;
  readonly version: number;
  readonly procedure: number;
  readonly args?: Args;
  readonly as?: Credentials;
  readonly xid?: number;
  /** Cut into fragments of this length. */
  readonly fragment?: number;
}

export interface RpcReply {
  /** accept_stat; undefined: the call was denied. */
  readonly accepted: number | undefined;
  readonly results: XdrReader;
}

export interface NfsReply {
  readonly status: number;
  /** Behind the status. */
  readonly results: XdrReader;
}

/** Options of `recover --nfs` for clients here: root's, from ports above 1023, as those of a guest are too. */
export const OPEN_NFS: readonly string[] = ['--squash', 'none', '--any-port'];

const MEMORY = 1024 * 1024 + 8192;

export async function rpcClient(port: number, host = '127.0.0.1'): Promise<RpcClient> {
  const stream = await connect({ kind: 'tcp', host, port });
  const waiting = new Map<number, (record: Uint8Array) => void>();
  let received = Buffer.alloc(0);
  let nextXid = 1000;
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  stream.onClose = () => close();
  stream.onBytes = (bytes) => {
    received = Buffer.concat([received, bytes]);
    while (received.length >= 4) {
      const length = received.readUInt32BE() & 0x7fff_ffff;
      if (received.length < 4 + length) break;
      const record = received.subarray(4, 4 + length);
      received = received.subarray(4 + length);
      waiting.get(record.readUInt32BE())?.(Uint8Array.from(record));
    }
  };
  stream.start();

  function recordOf({ program, version, procedure, args, as }: RpcCall, xid: number): Uint8Array {
    const bytes = new Uint8Array(MEMORY);
    const writer = xdrWriter();
    writer.reset(bytes, new DataView(bytes.buffer), 0);
    for (const word of [xid, 0, 2, program, version, procedure]) writer.u32(word);
    // AUTH_SYS: stamp, an empty name, uid, gid, no gids; or AUTH_NONE.
    for (const word of as ? [1, 20, 0, 0, as.uid, as.gid, 0] : [0, 0]) writer.u32(word);
    writer.u32(0);
    writer.u32(0);
    args?.(writer);
    return bytes.subarray(0, writer.at);
  }
  function send(record: Uint8Array, fragment = record.length): void {
    for (let at = 0; at < record.length; at += fragment) {
      const part = record.subarray(at, at + fragment);
      const mark = Buffer.alloc(4);
      const isLast = at + fragment >= record.length;
      mark.writeUInt32BE(isLast ? recordMark(part.length) : part.length);
      stream.write(Buffer.concat([mark, part]));
    }
  }
  async function call(what: RpcCall): Promise<RpcReply> {
    const xid = what.xid ?? nextXid++;
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    waiting.set(xid, resolve);
    void closed.then(() => reject(new Error('the connection ended')));
    send(recordOf(what, xid), what.fragment);
    const record = await promise;
    waiting.delete(xid);
    const results = xdrReader();
    const view = new DataView(record.buffer, record.byteOffset, record.length);
    results.reset(record, view, 4, record.length);
    results.u32();
    if (results.u32() !== 0) return { accepted: undefined, results };
    results.skip(8);
    return { accepted: results.u32(), results };
  }
  const root = { uid: 0, gid: 0 };
  return {
    call,
    closed,
    send: (bytes) => stream.write(bytes),
    async nfs(procedure, args, as = root) {
      const { number: program, version } = PROGRAMS.nfs;
      const number = PROCEDURES.indexOf(procedure);
      const { accepted, results } = await call({ program, version, procedure: number, args, as });
      if (accepted !== 0) throw new Error(`${procedure}: accept_stat ${accepted}`);
      return { status: results.u32(), results };
    },
    async mount(path) {
      const { number: program, version } = PROGRAMS.mount;
      const args: Args = (writer) => writer.text(path);
      const { results } = await call({ program, version, procedure: 1, args, as: root });
      const status = results.u32();
      return { status, handle: status === 0 ? results.opaque(64).slice() : new Uint8Array(0) };
    },
    async [Symbol.asyncDispose]() {
      stream.destroy();
      await closed;
    },
  };
}

/** fattr3, as far as tests look at it. */
export interface Attributes {
  readonly type: number;
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly fileId: string;
  readonly changed: string;
}

export function readAttributes(from: XdrReader): Attributes {
  const [type, mode, links, uid, gid] = [
    from.u32(),
    from.u32(),
    from.u32(),
    from.u32(),
    from.u32(),
  ];
  const size = from.u64();
  from.skip(24);
  const fileId = `${from.u32()}:${from.u32()}`;
  from.skip(16);
  return { type, mode, links, uid, gid, size, fileId, changed: `${from.u32()}.${from.u32()}` };
}

/** post_op_attr. */
export function readAfter(from: XdrReader): Attributes | undefined {
  return from.flag() ? readAttributes(from) : undefined;
}

/** wcc_data: what was there, what is. */
export function readChange(from: XdrReader): {
  before: { size: number; changed: string } | undefined;
  after: Attributes | undefined;
} {
  let before;
  if (from.flag()) {
    const size = from.u64();
    from.skip(8);
    before = { size, changed: `${from.u32()}.${from.u32()}` };
  }
  return { before, after: readAfter(from) };
}
