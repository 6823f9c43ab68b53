import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { GUEST_PART_MAX } from '../../../src/formats/wire/guest-agent.ts';
import {
  GUEST_FILE_MAX,
  type GuestFile,
  type PutOptions,
} from '../../../src/hypervisors/base/guest-files.ts';
import { HypervisorError } from '../../../src/hypervisors/base/hypervisor-error.ts';
import { putFile } from '../../../src/hypervisors/guest/put-file.ts';
import { type FakeGuest, fakeGuest } from '../../support/fake-guest.ts';
import { noise } from '../../support/random.ts';

const BYTES = noise(3 * GUEST_PART_MAX + 17, 1);
const FILE: GuestFile = {
  ...{ path: '/etc/web.conf', bytes: BYTES, overwrite: false },
  ...{ mode: 0o4750, owner: { user: 33, group: 44 } },
};
const options = (more: Partial<PutOptions> = {}): PutOptions => ({
  ...{ nonce: 'n0nce', signal: new AbortController().signal, onProgress() {} },
  ...more,
});
const put = (guest: FakeGuest, more: Partial<GuestFile> = {}, how: Partial<PutOptions> = {}) =>
  putFile(guest, { ...FILE, ...more }, options(how));
/** What an earlier file is like. */
const old = { bytes: Buffer.from('old'), mode: 0o600, owner: '0:0' };

/** Whatever happened: nothing is open, and nothing of ours is left under another name. */
function isClean({ open, files }: FakeGuest): void {
  equal(open.size, 0, 'a file is still open in the agent');
  deepEqual(
    [...files.keys()].filter((it) => it.includes('holdfast')),
    [],
  );
}

test('a file arrives whole, with its owner and its rights, and was never open to others', async () => {
  const guest = fakeGuest();
  let worst = 0;
  guest.onCommand = (command) => {
    if (command !== 'guest-file-write') return;
    for (const { mode, bytes } of guest.files.values()) if (bytes.length > 0) worst |= mode & 0o77;
  };
  const progress: string[] = [];
  const done = await put(
    guest,
    {},
    { onProgress: ({ phase, position }) => void progress.push(`${phase} ${position}`) },
  );
  deepEqual(done, { replaced: false, lost: [] });
  const file = guest.files.get(FILE.path)!;
  ok(file.bytes.equals(BYTES));
  deepEqual([file.mode, file.owner], [0o4750, '33:44']);
  equal(worst, 0);
  isClean(guest);
  equal(progress.filter((it) => it === `write ${BYTES.length}`).length, 1);
  equal(progress.at(-1), `compare ${BYTES.length}`);
});

test('an agent that takes less of a write gets the rest', async () => {
  const guest = fakeGuest();
  guest.writesAtMost = 1000;
  await put(guest);
  ok(guest.files.get(FILE.path)!.bytes.equals(BYTES));
});

test('an empty file is a file', async () => {
  const guest = fakeGuest();
  await put(guest, { bytes: new Uint8Array(0) });
  equal(guest.files.get(FILE.path)!.bytes.length, 0);
  isClean(guest);
});

test('an existing file stays unless it is to be replaced, with programs and without', async () => {
  for (const blocked of [[], ['guest-exec']]) {
    const guest = fakeGuest();
    for (const it of blocked) guest.blocked.add(it);
    guest.files.set(FILE.path, { ...old });
    await rejects(put(guest), (cause: HypervisorError) => {
      equal(cause.code, 'EXISTS');
      match(cause.message, /\/etc\/web\.conf exists in the guest.*--overwrite/);
      return true;
    });
    deepEqual(guest.files.get(FILE.path), old);
    isClean(guest);
    equal((await put(guest, { overwrite: true })).replaced, true);
    ok(guest.files.get(FILE.path)!.bytes.equals(BYTES));
    isClean(guest);
  }
});

test('a file that appears in the meantime is not replaced, also where there are no hard links', async () => {
  for (const hasLinks of [true, false]) {
    const guest = fakeGuest();
    guest.hasLinks = hasLinks;
    guest.onCommand = (command) => {
      if (command === 'guest-file-write') guest.files.set(FILE.path, { ...old });
    };
    await rejects(put(guest), { code: 'EXISTS' });
    deepEqual(guest.files.get(FILE.path), old);
    isClean(guest);
    const free = fakeGuest();
    free.hasLinks = hasLinks;
    await put(free);
    ok(free.files.get(FILE.path)!.bytes.equals(BYTES));
    isClean(free);
  }
});

test('without programs it is written under its name, and that is said with the reason', async () => {
  const guest = fakeGuest();
  guest.blocked.add('guest-exec');
  const { lost } = await put(guest);
  match(lost.join(), /owner and the mode that the agent gives.*guest-exec.*block-rpcs/);
  ok(guest.files.get(FILE.path)!.bytes.equals(BYTES));
  const windows = fakeGuest();
  windows.system = 'mswindows';
  match((await put(windows, { path: 'C:\\web.conf' })).lost.join(), /Windows/);
  ok(windows.files.get('C:\\web.conf')!.bytes.equals(BYTES));
  isClean(windows);
});

test('an agent that may not give the file away has it named', async () => {
  const guest = fakeGuest();
  guest.isRoot = false;
  const { lost } = await put(guest);
  deepEqual(lost, ['chown -h 33:44: chown: Operation not permitted']);
  equal(guest.files.get(FILE.path)!.mode, 0o4750);
  deepEqual((await put(fakeGuest(), { owner: undefined, mode: undefined })).lost, []);
});

test('a link that a user of the guest puts in the place of the file is not followed', async () => {
  const temporary = '/tmp/.holdfast-n0nce';
  const shadow = { bytes: Buffer.from('root:x'), mode: 0o640, owner: '0:42' };
  // Programs that are run once the file is there: before its rights, its contents, its owner, and its last rights.
  for (const at of [6, 8, 9, 11]) {
    const guest = fakeGuest();
    guest.files.set('/etc/shadow', { ...shadow });
    guest.onCommand = (command, count) => {
      if (command !== 'guest-exec' || count !== at) return;
      guest.files.delete(temporary);
      guest.links.set(temporary, '/etc/shadow');
    };
    await rejects(put(guest, { path: '/tmp/web.conf' }), (cause: HypervisorError) => {
      equal(cause.code, 'CONFLICT', cause.message);
      match(cause.message, /became a link.*put the file elsewhere/);
      return true;
    });
    deepEqual(guest.files.get('/etc/shadow'), shadow, `before program ${at}`);
    isClean(guest);
    equal(guest.links.size, 0);
  }
});

test('blocked commands are named with what to do about it', async () => {
  const guest = fakeGuest();
  guest.blocked.add('guest-file-open').add('guest-file-write');
  await rejects(put(guest), (cause: HypervisorError) => {
    equal(cause.code, 'UNSUPPORTED');
    match(
      cause.message,
      /refuses guest-file-open, guest-file-write: remove them from "block-rpcs"/,
    );
    return true;
  });
});

test('what is no file of a guest, or too large, is refused before anything is asked', async () => {
  const guest = fakeGuest();
  for (const path of ['etc/x', '', '/', '/etc/', 'C:', '/a\0b']) {
    await rejects(put(guest, { path }), { code: 'FAILED' }, path);
  }
  const bytes = new Uint8Array(GUEST_FILE_MAX + 1);
  await rejects(put(guest, { bytes }), (cause: HypervisorError) => {
    equal(cause.code, 'UNSUPPORTED');
    match(cause.message, /at most 16\.0 MiB.*files get/);
    return true;
  });
  deepEqual(guest.heard, []);
  await rejects(put(guest, { path: '/etc' }), { code: 'CONFLICT' });
  await rejects(put(guest, { path: '/nowhere/x' }), { code: 'NOT_FOUND' });
  isClean(guest);
});

test('a full guest keeps what it had', async () => {
  const guest = fakeGuest();
  guest.capacity = 100_000;
  guest.files.set(FILE.path, { ...old });
  await rejects(put(guest, { overwrite: true }), (cause: HypervisorError) => {
    equal(cause.code, 'NO_SPACE');
    match(cause.message, /\/etc\/web\.conf/);
    return true;
  });
  deepEqual(guest.files.get(FILE.path), old);
  isClean(guest);
});

test('a file that reads back otherwise is not put into its place', async () => {
  for (const change of [(it: Buffer) => (it[70_000]! ^= 1), (it: Buffer) => it.subarray(0, -1)]) {
    const guest = fakeGuest();
    guest.files.set(FILE.path, { ...old });
    guest.onCommand = (command, count) => {
      if (command !== 'guest-file-read' || count !== 1) return;
      const file = guest.files.get('/etc/.holdfast-n0nce')!;
      const changed = change(file.bytes);
      if (typeof changed !== 'number') file.bytes = changed;
    };
    await rejects(put(guest, { overwrite: true }), { code: 'CONFLICT' });
    deepEqual(guest.files.get(FILE.path), old);
    isClean(guest);
  }
});

test('at whichever command it ends, the old file or the new one is there, and nothing is open', async () => {
  const whole = fakeGuest();
  await put(whole);
  const commands = whole.heard.filter((it) => it.startsWith('guest-')).length;
  for (const how of ['abort', 'fail'] as const) {
    for (let at = 1; at <= commands; at++) {
      const guest = fakeGuest();
      guest.files.set(FILE.path, { ...old });
      const gone = new AbortController();
      let count = 0;
      guest.onCommand = () => {
        if (++count !== at) return;
        if (how === 'abort') gone.abort(new Error('gone'));
        else throw new HypervisorError('FAILED', 'the agent failed');
      };
      const ended = await put(guest, { overwrite: true }, { signal: gone.signal }).then(
        () => true,
        () => false,
      );
      const { bytes } = guest.files.get(FILE.path)!;
      ok(bytes.equals(BYTES) || bytes.equals(old.bytes), `${how} ${at}`);
      ok(!ended || bytes.equals(BYTES), `${how} ${at}`);
      // A close that fails cannot be made up for.
      if (how === 'abort') isClean(guest);
    }
  }
});
