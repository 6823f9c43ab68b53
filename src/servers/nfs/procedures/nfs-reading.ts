import {
  ACCESS_BITS,
  ATTRIBUTES_LENGTH,
  STATUS,
  writeAfter,
  writeAttributes,
} from '../../../formats/wire/nfs3.ts';
import type { XdrWriter } from '../../../formats/wire/xdr.ts';
import { bufferPool } from '../../../lib/buffer-pool.ts';
import { isWritableTree, type TreeNode } from '../../../vfs/file-tree.ts';
import { type Identity, PERMISSION, permissions } from '../exports/access.ts';
import { attributesOf } from '../exports/exports.ts';
import { NfsFailure } from '../rpc/failure.ts';
import { readExistingName } from './names.ts';
import { AFTER_LENGTH, HANDLE_LENGTH, TRANSFER_LENGTH_MAX } from './nfs-limits.ts';
import { nfsOk, type Reply } from '../rpc/reply.ts';
import type { NfsHandlers, NfsServer } from './procedure.ts';
import type { Found } from '../exports/export-entry.ts';

/** Procedures that read files and their attributes. */
export function readingProcedures({ exports }: NfsServer): NfsHandlers {
  const pool = bufferPool(SPARE_BUFFERS, TRANSFER_LENGTH_MAX);

  function after(writer: XdrWriter, found: Found, node: TreeNode): void {
    writeAfter(writer, attributesOf(found, node));
  }
  function sendData(reply: Reply, found: Found, bytes: Uint8Array, isEnd: boolean): void {
    const writer = nfsOk(reply, DATA_HEADER_LENGTH + bytes.length + 4);
    writeDataHeader(writer, found, exports.node(found), { count: bytes.length, isEnd });
    writer.fixed(bytes);
    reply.end();
  }

  return {
    getattr(args, { peer }, reply) {
      const found = exports.read(args, peer);
      const node = exports.node(found);
      const writer = nfsOk(reply, ATTRIBUTES_LENGTH);
      writeAttributes(writer, attributesOf(found, node));
      reply.end();
    },
    lookup(args, { peer, identity }, reply) {
      const directory = exports.read(args, peer);
      const name = readExistingName(args);
      const above = exports.node(directory);
      const who = exports.identity(directory, identity);
      if (above.kind === 'directory' && (permissions(above, who) & PERMISSION.execute) === 0) {
        throw new NfsFailure(STATUS.access, 'no permission to search this directory');
      }
      const found = exports.lookup(directory, name, peer);
      if (!found) throw new NfsFailure(STATUS.notFound, `there is no "${name}"`);
      const node = exports.node(found);
      const writer = nfsOk(reply, HANDLE_LENGTH + 2 * AFTER_LENGTH);
      exports.write(writer, found);
      after(writer, found, node);
      after(writer, directory, above);
      reply.end();
    },
    access(args, { peer, identity }, reply) {
      const found = exports.read(args, peer);
      const wanted = args.u32();
      const node = exports.node(found);
      const granted = wanted & accessBits(found, node, exports.identity(found, identity));
      const writer = nfsOk(reply, AFTER_LENGTH + 4);
      after(writer, found, node);
      writer.u32(granted);
      reply.end();
    },
    readlink(args, { peer }, reply) {
      const found = exports.read(args, peer);
      const node = exports.node(found);
      if (node.kind !== 'symlink')
        throw new NfsFailure(STATUS.invalid, 'this is not a symbolic link');
      const target = found.served!.tree.readLink(found.id);
      const writer = nfsOk(reply, AFTER_LENGTH + 8 + Buffer.byteLength(target));
      after(writer, found, node);
      writer.text(target);
      reply.end();
    },
    read(args, caller, reply) {
      const found = exports.read(args, caller.peer);
      const offset = args.u64();
      const count = Math.min(args.u32(), TRANSFER_LENGTH_MAX);
      const node = exports.node(found);
      checkReadable(node, exports.identity(found, caller.identity));
      const { tree } = found.served!;
      const length = Math.max(0, Math.min(count, node.size - offset));
      // ESXi expects this flag with the data, not with an empty read afterwards.
      const isEnd = offset + length >= node.size;
      if (length === 0) return sendData(reply, found, NOTHING, isEnd);
      const writer = nfsOk(reply, DATA_HEADER_LENGTH + length + 4);
      const into = reply.memory(writer.at + DATA_HEADER_LENGTH, length);
      if (tree.tryRead(found.id, into, offset, caller.isLast ? 'medium' : 'memory')) {
        writeDataHeader(writer, found, node, { count: length, isEnd });
        writer.at += length;
        writer.pad();
        caller.count(found.served!, { readBytes: length });
        return reply.end();
      }
      reply.laterInTurn(length, async () => {
        const bytes = pool.take(length);
        await tree.read(found.id, bytes, offset);
        caller.count(found.served!, { readBytes: length });
        sendData(reply, found, bytes, isEnd);
        pool.give(bytes);
      });
    },
  };
}

const NOTHING = new Uint8Array(0);
/** The length of a READ reply before the data: attributes, count, eof, length. */
const DATA_HEADER_LENGTH = AFTER_LENGTH + 12;
/** Buffers of each size for reads that are not answered at once: 16 MiB in total, shared by all connections. */
const SPARE_BUFFERS = 8;

function writeDataHeader(
  writer: XdrWriter,
  found: Found,
  node: TreeNode,
  { count, isEnd }: { readonly count: number; readonly isEnd: boolean },
): void {
  writeAfter(writer, attributesOf(found, node));
  writer.u32(count);
  writer.flag(isEnd);
  writer.u32(count);
}

function checkReadable(node: TreeNode, who: Identity): void {
  if (node.kind === 'directory') throw new NfsFailure(STATUS.isDirectory, 'this is a directory');
  if (node.kind === 'symlink') throw new NfsFailure(STATUS.invalid, 'this is a symbolic link');
  // Permission to execute includes reading (RFC 1813, 4.4). Owners may read what they opened.
  const bits = permissions(node, who) & (PERMISSION.read | PERMISSION.execute);
  if (bits === 0 && who.uid !== node.uid) {
    throw new NfsFailure(STATUS.access, 'no permission to read this file');
  }
}

function accessBits({ served, rule }: Found, node: TreeNode, who: Identity): number {
  const bits = permissions(node, who);
  const isDirectory = node.kind === 'directory';
  const mayWrite = served && isWritableTree(served.tree) && rule?.readOnly === false;
  let granted = 0;
  if (bits & PERMISSION.read) granted |= ACCESS_BITS.read;
  if (bits & PERMISSION.execute) granted |= isDirectory ? ACCESS_BITS.lookup : ACCESS_BITS.execute;
  if (mayWrite && bits & PERMISSION.write) {
    granted |= ACCESS_BITS.modify | ACCESS_BITS.extend;
    if (isDirectory) granted |= ACCESS_BITS.delete;
  }
  return granted;
}
