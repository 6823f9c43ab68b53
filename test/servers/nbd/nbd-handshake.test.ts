import { equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { OPTION_MAGIC, OPTIONS } from '../../../src/formats/wire/nbd.ts';
import { handshake } from '../../../src/servers/nbd/handshake.ts';

function optionOf(option: number, length = 0): Uint8Array {
  const bytes = Buffer.alloc(16 + length);
  bytes.writeBigUInt64BE(OPTION_MAGIC);
  bytes.writeUInt32BE(option, 8);
  bytes.writeUInt32BE(length, 12);
  return bytes;
}

/** After the client's flags. */
function begun() {
  const talk = handshake({ offers: () => [], hasDefault: false, tls: 'none' });
  equal(talk.push(Buffer.from([0, 0, 0, 3]), () => {}).kind, 'more');
  return talk;
}

test('no client negotiates for ever', async () => {
  const talk = begun();
  let options = 0;
  while (talk.push(optionOf(OPTIONS.list), () => {}).kind === 'more' && options < 1000) options++;
  equal(options, 256);
});

test('however often a peer asks for a long list, it is told a bounded amount', async () => {
  const offers = Array.from({ length: 1000 }, (_, at) => ({
    ...{ name: `session-${at}/vda`, description: 'x'.repeat(100), size: 1 },
    ...{ sectorSize: 512, blockSize: 512, readOnly: false },
  }));
  const talk = handshake({ offers: () => offers, hasDefault: false, tls: 'none' });
  let told = 0;
  const lists = Array.from({ length: 200 }, () => optionOf(OPTIONS.list));
  const all = Buffer.concat([Buffer.from([0, 0, 0, 3]), ...lists]);
  equal(talk.push(all, (reply) => void (told += reply.length)).kind, 'close');
  ok(told > 100_000, 'a whole list');
  ok(told < 1_000_000, `${told} bytes`);
});

test('an option that is longer than any is refused before it has come', async () => {
  const talk = begun();
  const replies: Uint8Array[] = [];
  const head = optionOf(OPTIONS.list, 16 * 1024 + 1).subarray(0, 16);
  equal(talk.push(head, (reply) => void replies.push(reply)).kind, 'close');
  equal(replies.length, 1);
});
