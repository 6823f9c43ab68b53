import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openBox } from '../../../src/box/box.ts';
import { hasPasskey, type PasskeyPlace } from '../../../src/engine/secrets/passkey-files.ts';
import { type AskedPasskey, openPasskeys } from '../../../src/engine/secrets/passkeys.ts';
import {
  decodePasskey,
  encodePasskey,
  isPasskey,
  passkeyVerifier,
} from '../../../src/formats/store/catalog/passkey.ts';
import { FormatError } from '../../../src/formats/format-error.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { engineIn } from '../../support/engine.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const RIGHT = 'zwölf Boxkämpfer';
const home = await engineIn(temporaryDirectory());
const inStore = join(home.store, 'sets', 'nightly', 'passkey.json');

async function placeAt(state: string) {
  const engine = await home.open();
  const box = openBox(realWorld(), { directory: state, credentials: undefined });
  const place: PasskeyPlace = { store: engine.store, box };
  return { place, box, [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose]() };
}

const asked = (passkey?: string, more: Partial<AskedPasskey> = {}): AskedPasskey => ({
  ...{ passkey, by: 'user 1', signal: new AbortController().signal, ...more },
});

test('the record holds no passkey, and damage of it is found', async () => {
  const stretched = new Uint8Array(32).fill(7);
  const kdf = { memoryKiB: 64, passes: 1, salt: new Uint8Array(16).fill(1) };
  const record = {
    ...{ set: 'nightly', created: '2026-11-30T00:00:00.000Z', kdf },
    verifier: passkeyVerifier(stretched),
  };
  const bytes = encodePasskey(record);
  deepEqual(encodePasskey(decodePasskey(bytes)), bytes);
  ok(!Buffer.from(bytes).toString().includes(Buffer.from(stretched).toString('hex')));
  ok(isPasskey(record, stretched));
  ok(!isPasskey(record, new Uint8Array(32).fill(8)));
  for (let length = 0; length < bytes.length - 1; length++) {
    try {
      decodePasskey(bytes.subarray(0, length));
      ok(false, `${length} bytes`);
    } catch (cause) {
      ok(cause instanceof FormatError, `${length} bytes: ${String(cause)}`);
    }
  }
  const hostile = { ...record, kdf: { ...kdf, memoryKiB: 2 ** 31 } };
  try {
    decodePasskey(encodePasskey(hostile));
    ok(false, 'it would take all memory');
  } catch (cause) {
    ok(cause instanceof FormatError);
  }
});

test('a set with a passkey is opened with it only, however the keyboard writes it', async () => {
  await using at = await placeAt(temporaryDirectory());
  const { place } = at;
  const passkeys = openPasskeys(systemClock());
  await passkeys.check(place, 'nightly', asked());
  await passkeys.change(place, 'nightly', RIGHT);
  await rejects(passkeys.check(place, 'nightly', asked()), { code: 'PASSKEY' });
  await rejects(passkeys.check(place, 'nightly', asked('')), { code: 'PASSKEY' });
  await rejects(passkeys.check(place, 'nightly', asked('zwölf boxkämpfer')), { code: 'PASSKEY' });
  await passkeys.check(place, 'nightly', asked(RIGHT));
  await passkeys.check(place, 'nightly', asked(RIGHT.normalize('NFD')));
  await passkeys.check(place, 'other', asked());
  await passkeys.change(place, 'nightly', 'another one');
  await rejects(passkeys.check(place, 'nightly', asked(RIGHT)), { code: 'PASSKEY' });
  await passkeys.check(place, 'nightly', asked('another one'));
  const onBox = join(at.box.directory, 'passkeys');
  const [copy] = readdirSync(onBox);
  for (const path of [inStore, join(onBox, copy!)]) {
    equal(statSync(path).mode & 0o777, 0o600);
    ok(!readFileSync(path, 'latin1').includes('another one'));
  }
  ok(await passkeys.remove(place, 'nightly'));
  ok(!(await passkeys.remove(place, 'nightly')));
  await passkeys.check(place, 'nightly', asked());
});

test('guesses of a caller come one after the other, each waits longer; others do not wait', async () => {
  await using at = await placeAt(temporaryDirectory());
  const { place } = at;
  await openPasskeys(systemClock()).change(place, 'nightly', RIGHT);
  const events: string[] = [];
  let nowMs = 0;
  async function sleep(ms: number) {
    events.push(`waits ${ms}`);
    nowMs += ms;
  }
  const passkeys = openPasskeys({ ...systemClock(), monotonicMs: () => nowMs, sleep });
  const guess = (passkey: string, by: string): Promise<unknown> =>
    passkeys.check(place, 'nightly', asked(passkey, { by })).then(
      () => events.push(`${by} right`),
      (cause: { code: string }) => events.push(`${by} ${cause.code}`),
    );
  const four = Array.from({ length: 4 }, () => guess('wrong one', 'a'));
  await Promise.all([...four, guess(RIGHT, 'a')]);
  const later = [250, 500, 1000].flatMap((ms) => [`waits ${ms}`, 'a PASSKEY']);
  deepEqual(events.splice(0), ['a PASSKEY', ...later, 'waits 2000', 'a right']);
  await guess('wrong one', 'b');
  await guess('wrong one', 'a');
  nowMs += 100;
  await guess('wrong one', 'a');
  nowMs += 5000;
  await guess(RIGHT, 'a');
  deepEqual(events, ['b PASSKEY', 'a PASSKEY', 'waits 150', 'a PASSKEY', 'a right']);
  await passkeys.remove(place, 'nightly');
});

test('who hangs up while it waits has learned nothing, and waits the next time', async () => {
  await using at = await placeAt(temporaryDirectory());
  await openPasskeys(systemClock()).change(at.place, 'nightly', RIGHT);
  const clock = fakeClock('2026-11-30T00:00:00Z');
  let slept = Promise.withResolvers<void>();
  const passkeys = openPasskeys({
    ...clock,
    sleep(ms, signal) {
      slept.resolve();
      slept = Promise.withResolvers();
      return clock.sleep(ms, signal);
    },
  });
  const guess = (passkey: string, signal?: AbortSignal) =>
    passkeys.check(at.place, 'nightly', asked(passkey, signal && { signal }));
  await rejects(guess('wrong one'), { code: 'PASSKEY' });
  for (let n = 0; n < 5; n++) {
    const gone = new AbortController();
    const waits = slept.promise;
    // Not even the right one is judged: the answer would tell it.
    const hasty = guess(RIGHT, gone.signal);
    const queued = guess('wrong two', gone.signal);
    await waits;
    gone.abort(new Error('gone'));
    await rejects(hasty, /gone/);
    await rejects(queued, /gone/);
  }
  const waits = slept.promise;
  const patient = guess('wrong three');
  await waits;
  await clock.advance(250);
  await rejects(patient, { code: 'PASSKEY' });
  await passkeys.remove(at.place, 'nightly');
});

test('who can only write to the store removes no passkey from this box', async () => {
  const state = temporaryDirectory();
  await using at = await placeAt(state);
  const passkeys = openPasskeys(systemClock());
  await passkeys.change(at.place, 'nightly', RIGHT);
  rmSync(inStore);
  await rejects(passkeys.check(at.place, 'nightly', asked()), { code: 'PASSKEY' });
  writeFileSync(inStore, 'nonsense');
  await rejects(passkeys.check(at.place, 'nightly', asked()), { code: 'PASSKEY' });
  await passkeys.check(at.place, 'nightly', asked(RIGHT));
  // On a box that has no copy, a record that cannot be read is not none.
  await using other = await placeAt(temporaryDirectory());
  await rejects(passkeys.check(other.place, 'nightly', asked(RIGHT)), { code: 'CORRUPT' });
  ok(await hasPasskey(other.place, 'nightly'));
  ok(await passkeys.remove(at.place, 'nightly'));
  ok(!(await hasPasskey(other.place, 'nightly')));
});

test('another box asks for the passkey that is in the store; a reset of the box forgets its copy', async () => {
  await using at = await placeAt(temporaryDirectory());
  await using other = await placeAt(temporaryDirectory());
  const passkeys = openPasskeys(systemClock());
  await passkeys.change(at.place, 'nightly', RIGHT);
  await rejects(passkeys.check(other.place, 'nightly', asked()), { code: 'PASSKEY' });
  rmSync(inStore);
  await at.box.reset();
  await passkeys.check(at.place, 'nightly', asked());
});

test('a passkey whose record cannot be put into the store counts nevertheless', async () => {
  await using at = await placeAt(temporaryDirectory());
  const passkeys = openPasskeys(systemClock());
  const full = {
    ...at.place,
    store: {
      ...at.place.store,
      files: {
        ...at.place.store.files,
        create(path: string, access: 'private' | 'shared' | undefined) {
          if (path.startsWith(home.store)) throw new Error('full');
          return at.place.store.files.create(path, access);
        },
      },
    },
  };
  await rejects(passkeys.change(full, 'nightly', RIGHT), /full/);
  await rejects(passkeys.check(at.place, 'nightly', asked()), { code: 'PASSKEY' });
  await passkeys.remove(at.place, 'nightly');
});
