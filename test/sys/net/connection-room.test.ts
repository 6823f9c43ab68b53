import { deepEqual, equal, ok } from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { request } from 'node:http';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { connectionRoom } from '../../../src/sys/net/connection-room.ts';
import { serveHttp } from '../../../src/sys/net/http-server.ts';

// A12

function room() {
  const it = connectionRoom(({ uid }) => uid < 1000);
  const ended: string[] = [];
  let number = 0;
  const enter = (uid: number, name = `${uid} ${number++}`) =>
    it.enter({ pid: 1, uid, gids: [uid] }, () => ended.push(name));
  return { enter, ended };
}

test('users who may not ask, under however many names, take no room of those who may', async () => {
  const { enter, ended } = room();
  for (let uid = 100_000; uid < 100_500; uid++) ok(enter(uid));
  equal(ended.length, 500 - 16, 'the last come first');
  for (let n = 0; n < 32; n++) ok(enter(0));
  for (let n = 0; n < 32; n++) ok(enter(7));
  equal(ended.length, 500 - 16);
});

test('a user with idle connections ends the oldest of them, and takes no room of others', async () => {
  const { enter, ended } = room();
  const first = enter(7, 'first');
  const second = enter(7, 'second');
  for (let n = 2; n < 32; n++) enter(7);
  first!.busy(true);
  ok(enter(7));
  deepEqual(ended, ['second'], 'not one that is being answered');
  second!.leave();
  first!.leave();
  ok(enter(7));
  equal(ended.length, 1);
});

test('users who ask for all there is do not keep root out', async () => {
  const { enter } = room();
  for (let uid = 1; uid <= 4; uid++) for (let n = 0; n < 32; n++) enter(uid)!.busy(true);
  equal(enter(5), undefined);
  for (let n = 0; n < 64; n++) ok(enter(0));
});

test('users whose idle connections take all there is leave room for a user who has none', async () => {
  const { enter, ended } = room();
  for (let uid = 1; uid <= 4; uid++) for (let n = 0; n < 32; n++) ok(enter(uid, `${uid}`));
  for (let n = 0; n < 8; n++) ok(enter(5, '5'));
  deepEqual(ended.toSorted(), ['1', '1', '2', '2', '3', '3', '4', '4']);
  for (let n = 0; n < 32; n++) enter(6)?.busy(true);
  equal(ended.filter((it) => it === '5').length, 0, 'it has fewer than others');
});

test('over a socket: more idle connections than there is room for, and the next is answered', async () => {
  const path = join(mkdtempSync(join(tmpdir(), 'room-')), 'socket');
  await using _server = await serveHttp({
    at: { kind: 'unix', path },
    knows: () => false,
    async onRequest(http) {
      http.begin(403, 'text/plain');
      http.end();
    },
    onError() {},
  });
  const idle: Socket[] = [];
  for (let n = 0; n < 200; n++) {
    const socket = createConnection({ path });
    socket.on('error', () => {});
    await new Promise((resolve) => socket.once('connect', resolve));
    idle.push(socket);
  }
  const status = await new Promise((resolve, reject) => {
    const sent = request({ socketPath: path, path: '/', agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    sent.on('error', reject);
    sent.end();
  });
  equal(status, 403);
  for (const socket of idle) socket.destroy();
});
