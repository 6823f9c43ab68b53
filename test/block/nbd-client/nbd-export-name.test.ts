import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import type { BlockError } from '../../../src/block/block-error.ts';
import { openNbdDisk } from '../../../src/block/nbd-client/nbd-disk.ts';
import {
  COMMANDS,
  encodeOptionReply,
  OPTION_REPLIES,
  OPTIONS,
  writeSimpleReply,
} from '../../../src/formats/wire/nbd.ts';
import { all } from '../../support/all.ts';
import { exportIn, fakeNbdServer, type NbdScript } from '../../support/fake-nbd-server.ts';
import { pattern } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const root = temporaryDirectory();
const bytes = pattern(5 * 2 ** 20);
const READ_ONLY = 3;
let count = 0;

/** A server that knows EXPORT_NAME and no other option, as xapi of XCP-ng, and has simple replies. */
async function oldServer(flags: number, options?: NbdScript['option']) {
  const socket = join(root, `${count++}.sock`);
  const asked: number[] = [];
  const server = await fakeNbdServer(socket, {
    flags,
    option(option, data) {
      asked.push(option);
      if (options) return options(option, data);
      if (option !== OPTIONS.exportName) {
        return { bytes: encodeOptionReply(option, OPTION_REPLIES.unsupported) };
      }
      if (exportIn(option, data) !== 'vda') return { bytes: new Uint8Array(0), next: 'end' };
      const answer = Buffer.alloc((flags & 2) === 0 ? 134 : 10);
      answer.writeBigUInt64BE(BigInt(bytes.length));
      answer.writeUInt16BE(READ_ONLY, 8);
      return { bytes: answer, next: 'serve' };
    },
    request({ command, cookie, offset, length }) {
      if (command !== COMMANDS.read) return undefined;
      const head = new Uint8Array(16);
      const echo = { cookieHigh: 0, cookieLow: cookie, offsetHigh: 0, offsetLow: 0 };
      writeSimpleReply(new DataView(head.buffer), 0, echo, 0);
      return Buffer.concat([head, bytes.subarray(offset, offset + length)]);
    },
  });
  const uri = (name: string) => `nbd+unix:///${name}?socket=${socket}`;
  return { uri, asked, [Symbol.asyncDispose]: server[Symbol.asyncDispose] };
}

test('a server that knows only EXPORT_NAME is read, with its zeroes and without', async () => {
  for (const flags of [1, 3]) {
    await using server = await oldServer(flags);
    await using disk = await openNbdDisk(server.uri('vda'), { bitmaps: ['since'] });
    deepEqual(server.asked, [OPTIONS.structuredReply, OPTIONS.go, OPTIONS.exportName]);
    equal(disk.geometry.size, bytes.length);
    ok(disk.readOnly);
    const found = new Uint8Array(bytes.length);
    await disk.read(found, 0);
    ok(Buffer.from(found).equals(bytes));
    deepEqual(await disk.extents(0, 8192), [{ offset: 0, length: 8192, kind: 'data' }]);
    await rejects(all(disk.dirtyRanges('since')), { code: 'NO_BITMAP' });
  }
});

test('such a server refuses an export by ending the connection, and that is said', async () => {
  await using server = await oldServer(3);
  await rejects(openNbdDisk(server.uri('vdb')), ({ code, message }: BlockError) => {
    equal(code, 'IO');
    equal(message, `${server.uri('vdb')}: the NBD server refuses export "vdb"`);
    return true;
  });
});

test('a server that knows GO and refuses is not asked in the old way', async () => {
  await using server = await oldServer(3, (option) => ({
    bytes: encodeOptionReply(option, OPTION_REPLIES.unknown),
  }));
  await rejects(openNbdDisk(server.uri('vda')), {
    message: /refuses export "vda": there is no such/,
  });
  deepEqual(server.asked, [OPTIONS.structuredReply, OPTIONS.go]);
});

test('a server without fixed newstyle negotiation is refused with the reason', async () => {
  await using server = await oldServer(0);
  await rejects(openNbdDisk(server.uri('vda')), { message: /older than fixed newstyle/ });
});
