import { deepEqual, equal } from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { test } from 'tap';
import { memoryDevice } from '../../../src/block/memory.ts';
import {
  encodeOption,
  encodeString,
  OPTION_REPLIES,
  OPTIONS,
} from '../../../src/formats/wire/nbd.ts';
import { CLIENT_FLAGS, GO, received } from '../../support/nbd-conversation.ts';
import { serveOne } from '../../support/nbd-server.ts';
import { pattern } from '../../support/random.ts';

const EMPTY = new Uint8Array(0);
const KEY = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
const START_TLS = encodeOption(OPTIONS.startTls, EMPTY);
const STRUCTURED = encodeOption(OPTIONS.structuredReply, EMPTY);

function server(mode: 'allow' | 'require') {
  const credentials = { kind: 'psk', keyOf: () => KEY } as const;
  return serveOne(memoryDevice(pattern(4096)), { tls: { mode, credentials } });
}

async function greeted(path: string) {
  const socket = connect(path);
  const got = received(socket);
  await got.take(18);
  socket.write(CLIENT_FLAGS);
  return { socket, got };
}

function secured(socket: Socket): Promise<ReturnType<typeof connectTls>> {
  socket.removeAllListeners('data');
  return new Promise((resolve, reject) => {
    const tls = connectTls({
      socket,
      pskCallback: () => ({ psk: KEY, identity: 'me' }),
      ciphers: 'PSK:DEFAULT',
      checkServerIdentity: () => undefined,
    });
    tls.once('secureConnect', () => resolve(tls));
    tls.once('error', reject);
    tls.once('close', () => reject(new Error('closed')));
  });
}

/** Type of the next answer to an option. */
async function answerOf(got: ReturnType<typeof received>): Promise<number | undefined> {
  const head = await got.take(20);
  if (!head) return undefined;
  await got.take(head.readUInt32BE(16));
  return head.readUInt32BE(12);
}

test('before TLS no exports are listed, and none can be chosen', async () => {
  await using it = await server('require');
  const info = Buffer.concat([encodeString('vda'), Buffer.from([0, 0])]);
  const query = Buffer.concat([encodeString('vda'), Buffer.from([0, 0, 0, 0])]);
  const options = [
    encodeOption(OPTIONS.list, EMPTY),
    encodeOption(OPTIONS.info, info),
    encodeOption(OPTIONS.go, info),
    STRUCTURED,
    encodeOption(OPTIONS.listMetaContext, query),
    encodeOption(OPTIONS.setMetaContext, query),
  ];
  const { socket, got } = await greeted(it.socket);
  for (const option of options) {
    socket.write(option);
    equal(await answerOf(got), OPTION_REPLIES.tlsRequired);
  }
  // This one has no answer that could refuse it.
  socket.write(encodeOption(OPTIONS.exportName, Buffer.from('vda')));
  deepEqual(await got.all(), Buffer.alloc(0));
});

test('bytes that came in the clear behind STARTTLS are not taken for those of the peer', async () => {
  await using it = await server('allow');
  for (const injected of [
    encodeOption(OPTIONS.list, EMPTY),
    GO,
    EMPTY.slice(),
    Buffer.from([0x49]),
  ]) {
    const { socket, got } = await greeted(it.socket);
    socket.write(Buffer.concat([START_TLS, injected]));
    equal(await answerOf(got), OPTION_REPLIES.ack);
    const tls = await secured(socket).catch(() => undefined);
    equal(tls !== undefined, injected.length === 0, `${injected.length} bytes behind it`);
    tls?.destroy();
    socket.destroy();
  }
});

test('what was agreed on in the clear is forgotten with TLS', async () => {
  await using it = await server('allow');
  const { socket, got } = await greeted(it.socket);
  socket.write(STRUCTURED);
  equal(await answerOf(got), OPTION_REPLIES.ack);
  socket.write(START_TLS);
  equal(await answerOf(got), OPTION_REPLIES.ack);
  const tls = await secured(socket);
  const inside = received(tls);
  const query = Buffer.concat([encodeString('vda'), Buffer.from([0, 0, 0, 0])]);
  tls.write(encodeOption(OPTIONS.setMetaContext, query));
  equal(
    await answerOf(inside),
    OPTION_REPLIES.invalid,
    'structured replies are to be agreed on again',
  );
  tls.write(START_TLS);
  equal(await answerOf(inside), OPTION_REPLIES.invalid);
  tls.write(GO);
  equal(await answerOf(inside), OPTION_REPLIES.info);
  tls.destroy();
});
