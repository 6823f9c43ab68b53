import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { memoryDevice } from '../../../src/block/memory.ts';
import { BlockError } from '../../../src/block/block-error.ts';
import { ERRNO, OPCODES, REPLY_HEADER_LENGTH } from '../../../src/formats/wire/fuse.ts';
import type { FuseDevice, FuseServer } from '../../../src/sys/fuse/fuse-device.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import { serveFuse } from '../../../src/servers/fuse/server.ts';
import type { FileTree, TreeNode } from '../../../src/vfs/file-tree.ts';
import { TreeError } from '../../../src/vfs/tree-error.ts';
import { below, noise, seeded } from '../../support/random.ts';

// The target against a kernel that this test plays. The real one: test/interop/mount.test.ts.
const MiB = 2 ** 20;
const SEED = Number(process.env['SEED'] ?? 1);

interface Answer {
  /** Zero or below: -errno. */
  readonly error: number;
  readonly unique: bigint;
  readonly body: Buffer;
}

/** Plays the kernel: requests go in, answers come out, until it "unmounts". */
function kernel() {
  const answers = new Map<bigint, Answer>();
  const waiting = new Map<bigint, (answer: Answer) => void>();
  let server: FuseServer;
  let unmount: () => void;
  let next = 2n;
  const notices: Buffer[] = [];
  const device: FuseDevice = {
    serve: (it) =>
      new Promise((resolve) => {
        server = it;
        unmount = resolve;
      }),
    send(reply, body) {
      const bytes = Buffer.concat(body ? [reply, body] : [reply]);
      equal(bytes.readUInt32LE(0), bytes.length);
      const unique = bytes.readBigUInt64LE(8);
      if (unique === 0n) {
        notices.push(Buffer.from(bytes));
        return;
      }
      ok(!answers.has(unique), 'one answer for each request');
      const error = bytes.readInt32LE(4);
      const answer = { error, unique, body: Buffer.from(bytes.subarray(REPLY_HEADER_LENGTH)) };
      answers.set(unique, answer);
      waiting.get(unique)?.(answer);
    },
    hasMore: () => false,
  };
  function post(opcode: number, node: number, body: Uint8Array, unique = (next += 2n)): bigint {
    const request = Buffer.alloc(40 + body.length);
    request.writeUInt32LE(request.length, 0);
    request.writeUInt32LE(opcode, 4);
    request.writeBigUInt64LE(unique, 8);
    request.writeBigUInt64LE(BigInt(node), 16);
    request.set(body, 40);
    const room = server.room()!;
    room.set(request);
    server.take(room.subarray(0, request.length));
    return unique;
  }
  return {
    device,
    notices,
    answers,
    post,
    hasRoom: () => server.room() !== undefined,
    unmount: () => unmount(),
    async ask(opcode: number, node: number, body: Uint8Array = Buffer.alloc(0), unique?: bigint) {
      const mine = post(opcode, node, body, unique);
      return answers.get(mine) ?? new Promise<Answer>((resolve) => void waiting.set(mine, resolve));
    },
  };
}

const BYTES = noise(3 * MiB, 5);

/** A directory of many names, a file, and whatever a test adds. */
function treeOf(more: Partial<FileTree> = {}, names = 5000): FileTree {
  const shape = {
    mode: 0o555,
    uid: 0,
    gid: 0,
    links: 1,
    accessedMs: 1,
    modifiedMs: 1500,
    changedMs: 1,
  };
  const directory: TreeNode = { id: 1, kind: 'directory', size: 4096, ...shape };
  const nodes = new Map<number, TreeNode>([[1, directory]]);
  const entries = Array.from({ length: names }, (_, index) => {
    const id = index + 3;
    nodes.set(id, { id, kind: 'file', size: BYTES.length, ...shape });
    return { name: `file ${index} é`, id, cookie: id };
  });
  return {
    root: 1,
    node: (id) => nodes.get(id),
    parent: () => 1,
    lookup: (_, name) => entries.find((entry) => entry.name === name)?.id,
    list: (_, after) => entries.filter(({ cookie }) => cookie > after),
    readLink: () => '',
    tryRead: () => false,
    async read(_, into, offset) {
      into.set(BYTES.subarray(offset, offset + into.length));
    },
    space: async () => ({ totalBytes: 2 ** 40, freeBytes: 2 ** 30 }),
    async [Symbol.asyncDispose]() {},
    ...more,
  };
}

function serve(tree: FileTree, isSuccessor = false) {
  const it = kernel();
  const ended = serveFuse({ clock: systemClock(), device: it.device, tree, isSuccessor });
  return {
    ...it,
    ended,
    async [Symbol.asyncDispose]() {
      it.unmount();
      await ended;
    },
  };
}

function name(text: string): Buffer {
  return Buffer.concat([Buffer.from(text), Buffer.alloc(1)]);
}

function readBody(offset: number, length: number): Buffer {
  const body = Buffer.alloc(40);
  body.writeBigUInt64LE(BigInt(offset), 8);
  body.writeUInt32LE(length, 16);
  return body;
}

test('a directory is listed whole, page by page, each name once', async () => {
  await using it = serve(treeOf());
  for (const [opcode, attributes] of [
    [OPCODES.readdir, 0],
    [OPCODES.readdirplus, 128],
  ] as const) {
    const names: string[] = [];
    for (let after = 0; ; ) {
      const { error, body } = await it.ask(opcode, 1, readBody(after, 4096));
      equal(error, 0);
      ok(body.length <= 4096);
      if (body.length === 0) break;
      for (let at = 0; at < body.length; ) {
        const entry = body.subarray(at + attributes);
        const length = entry.readUInt32LE(16);
        names.push(entry.toString('utf8', 24, 24 + length));
        after = Number(entry.readBigUInt64LE(8));
        at += attributes + ((24 + length + 7) & ~7);
      }
    }
    equal(names.length, 5002);
    deepEqual(names.slice(0, 3), ['.', '..', 'file 0 é']);
    equal(new Set(names).size, names.length);
  }
});

test('what is not in memory is answered later, and others need not wait for it', async () => {
  let release!: () => void;
  const gate = new Promise<void>((resolve) => (release = resolve));
  const slow: Partial<FileTree> = {
    tryRead(id, into, offset) {
      if (id === 3) return false;
      into.set(BYTES.subarray(offset, offset + into.length));
      return true;
    },
    async read(_, into, offset) {
      await gate;
      into.set(BYTES.subarray(offset, offset + into.length));
    },
  };
  await using it = serve(treeOf(slow));
  const late = it.ask(OPCODES.read, 3, readBody(1000, 8192));
  const quick = await it.ask(OPCODES.read, 4, readBody(MiB, 4096));
  deepEqual(quick.body, Buffer.from(BYTES.subarray(MiB, MiB + 4096)));
  release();
  deepEqual((await late).body, Buffer.from(BYTES.subarray(1000, 9192)));
  // Over the end: as much as there is.
  equal((await it.ask(OPCODES.read, 4, readBody(3 * MiB - 10, 4096))).body.length, 10);
  equal((await it.ask(OPCODES.read, 4, readBody(3 * MiB, 4096))).body.length, 0);
});

test('a client that gave up is let go, and the request is answered once', async () => {
  let release!: () => void;
  const gate = new Promise<void>((resolve) => (release = resolve));
  await using it = serve(treeOf({ complete: () => gate }));
  const asked = it.ask(OPCODES.lookup, 1, name('not yet'), 100n);
  const interrupt = Buffer.alloc(8);
  interrupt.writeBigUInt64LE(100n);
  it.post(OPCODES.interrupt, 0, interrupt, 101n);
  equal((await asked).error, -ERRNO.interrupted);
  release();
  equal((await it.ask(OPCODES.lookup, 1, name('none'))).error, -ERRNO.noEntry);
});

test('names that arrive late are found by the calls that wait for them', async () => {
  let known = false;
  const tree = treeOf({
    complete: () => (known ? undefined : Promise.resolve().then(() => void (known = true))),
    lookup: (_, wanted) => (known && wanted === 'late' ? 3 : undefined),
  });
  await using it = serve(tree);
  const { error, body } = await it.ask(OPCODES.lookup, 1, name('late'));
  deepEqual([error, Number(body.readBigUInt64LE(0))], [0, 3]);
});

test('what the world does is an errno, and our own fault ends the server', async () => {
  const failing: Partial<FileTree> = {
    async read(id) {
      if (id === 3) throw new BlockError('CORRUPT', 'bad block');
      if (id === 4) throw new TreeError('STALE', 'gone');
      throw new RangeError('a bug');
    },
  };
  const it = serve(treeOf(failing));
  equal((await it.ask(OPCODES.read, 3, readBody(0, 10))).error, -ERRNO.io);
  equal((await it.ask(OPCODES.read, 4, readBody(0, 10))).error, -ERRNO.stale);
  equal((await it.ask(OPCODES.getattr, 99_999)).error, -ERRNO.stale);
  equal((await it.ask(9, 1, name('new directory'))).error, -ERRNO.noSystem);
  it.post(OPCODES.read, 5, readBody(0, 10));
  await new Promise((resolve) => setImmediate(resolve));
  it.unmount();
  await rejects(it.ended, RangeError);
});

test('one that follows a dead server asks for what that had taken', async () => {
  await using first = serve(treeOf());
  equal(first.notices.length, 0);
  await using second = serve(treeOf(), true);
  equal(second.notices.length, 1);
  equal(second.notices[0]!.readInt32LE(4), 7);
  // Sent again, a request has its uppermost bit set; the answer must have it too.
  const unique = (1n << 63n) | 6n;
  equal((await second.ask(OPCODES.getattr, 1, Buffer.alloc(16), unique)).unique, unique);
});

test('a disk is written, zeroed and flushed, and keeps its size', async () => {
  const device = memoryDevice(new Uint8Array(MiB));
  let flushes = 0;
  const watched = { ...device, flush: async () => void flushes++ };
  await using it = serve(treeOf({ disk: (id) => (id === 3 ? watched : undefined) }));
  const data = noise(8192, 9);
  const body = Buffer.concat([readBody(4096, data.length), data]);
  const written = await it.ask(OPCODES.write, 3, body);
  deepEqual([written.error, written.body.readUInt32LE(0)], [0, data.length]);
  const back = new Uint8Array(8192);
  await device.read(back, 4096);
  deepEqual(Buffer.from(back), Buffer.from(data));
  equal((await it.ask(OPCODES.fsync, 3, Buffer.alloc(16))).error, 0);
  equal(flushes, 1);
  equal((await it.ask(OPCODES.write, 4, body)).error, -ERRNO.readOnly);
  const open = Buffer.alloc(8);
  open.writeUInt32LE(2);
  equal((await it.ask(OPCODES.open, 4, open)).error, -ERRNO.readOnly);
  equal((await it.ask(OPCODES.open, 3, open)).error, 0);
  const resize = Buffer.alloc(88);
  resize.writeUInt32LE(8);
  equal((await it.ask(OPCODES.setattr, 3, resize)).error, -ERRNO.perm);
});

test('answers that do not come hold a bounded amount of memory', async () => {
  let release!: () => void;
  const gate = new Promise<void>((resolve) => (release = resolve));
  await using it = serve(treeOf({ read: () => gate }));
  let asked = 0;
  while (it.hasRoom()) {
    it.post(OPCODES.read, 3, readBody(0, MiB));
    ok(++asked < 100);
  }
  release();
  await new Promise((resolve) => setImmediate(resolve));
  ok(it.hasRoom());
});

test(`bytes that no kernel sends are answered or dropped (SEED=${SEED})`, async () => {
  const random = seeded(SEED);
  await using it = serve(treeOf({}, 10));
  const opcodes = Object.values(OPCODES).filter((opcode) => opcode !== OPCODES.interrupt);
  for (let n = 0; n < 3000; n++) {
    const opcode =
      below(random, 4) > 0 ? opcodes[below(random, opcodes.length)]! : below(random, 100);
    if (opcode === OPCODES.interrupt) continue;
    it.post(opcode, below(random, 16), noise(below(random, 128), n));
  }
  equal((await it.ask(OPCODES.getattr, 1, Buffer.alloc(16))).error, 0);
});
