import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import {
  addPassphrase,
  changePassphrase,
  changeRecoveryKey,
  removePassphrase,
  slotNames,
} from '../../src/catalog/passphrases.ts';
import { readCopies, setDirectory, writeSetRecord } from '../../src/catalog/set-copies.ts';
import { createSet, readSet, unlockSet } from '../../src/catalog/sets.ts';
import { sealSet } from '../../src/formats/store/catalog/set-record.ts';
import { parseRecoveryKey, type Secret } from '../../src/formats/store/catalog/key-slot.ts';
import { recordCopyPath } from '../../src/store/directory/record-copies.ts';
import { openStore, type Store } from '../../src/store/directory/store.ts';
import { type CrashingFs, crashingFs, onlyPowerCuts } from '../support/crashing-fs.ts';
import { below, seeded } from '../support/random.ts';
import { HOME, newStore, simulatedWorld } from '../support/store.ts';

const words = (text: string): Secret & { kind: 'passphrase' } => ({
  kind: 'passphrase',
  passphrase: Buffer.from(text),
});
const paper = (text: string): Secret => ({ kind: 'recovery-key', key: parseRecoveryKey(text)! });
const free = async (): Promise<void> => {};

/** An encrypted set "a" on a disk in memory. */
async function place() {
  const disk = crashingFs(seeded(1));
  const { store } = await newStore(simulatedWorld(disk.files));
  const made = await createSet(store, 'a', { passphrase: Buffer.from('old') });
  const recovery = paper(made.recoveryKey!);
  return { disk, store, recovery };
}

async function opens(store: Store, secret: Secret): Promise<boolean> {
  try {
    await unlockSet(await readSet(store, 'a'), secret);
    return true;
  } catch (cause) {
    match((cause as Error).message, /this is not the/);
    return false;
  }
}

const ids = async (store: Store): Promise<string[]> =>
  slotNames(await readSet(store, 'a')).map(({ kind, id }) => `${kind} ${id}`);

test('a changed passphrase opens the set, with the same key, and the former one does not', async () => {
  const { store, recovery } = await place();
  const before = await unlockSet(await readSet(store, 'a'), words('old'));
  const { passphrase } = words('new');
  const options = { secret: words('old'), mayRemove: free, id: undefined };
  const done = await changePassphrase(store, 'a', passphrase, options);
  const after = await unlockSet(await readSet(store, 'a'), words('new'));
  deepEqual(after.keys, before.keys);
  deepEqual(after.record.domain, before.record.domain);
  deepEqual([await opens(store, words('old')), await opens(store, recovery)], [false, true]);
  equal((await ids(store)).length, 2);
  equal(done.removed.length, 1);
  const path = `${setDirectory(store, 'a')}/set.json`;
  const read = (it: string) => store.files.readFile(it, 65536);
  deepEqual(await read(recordCopyPath(store, path)), await read(path), 'the copy in "copies", too');
  deepEqual((await readCopies(store, 'a')).problems, []);
});

test('a lost passphrase is replaced with the recovery key, and of several the one that is named', async () => {
  const { store, recovery } = await place();
  const change = (text: string, id?: string, secret = recovery) =>
    changePassphrase(store, 'a', Buffer.from(text), { secret, mayRemove: free, id });
  await change('second');
  const added = await addPassphrase(store, 'a', Buffer.from('third'), { secret: words('second') });
  await rejects(change('fourth'), { code: 'AMBIGUOUS', message: /--replaces/ });
  await rejects(change('fourth', 'ffffffff'), { code: 'NOT_FOUND' });
  await change('fourth', added.added!.id);
  deepEqual(
    [await opens(store, words('third')), await opens(store, words('fourth'))],
    [false, true],
  );
  await rejects(change('second', undefined, words('second')), { code: 'EXISTS' });
  // What is there already only loses the other one: a change that was interrupted is repeated.
  await change('fourth', undefined, words('second'));
  equal((await ids(store)).length, 2);
  await rejects(addPassphrase(store, 'a', Buffer.from('fourth'), { secret: recovery }), {
    code: 'EXISTS',
  });
});

test('the last passphrase, the recovery key, and what opens the set just now stay', async () => {
  const { store, recovery } = await place();
  const [passphrase, key] = slotNames(await readSet(store, 'a'));
  const remove = (id: string, secret: Secret) =>
    removePassphrase(store, 'a', id, { secret, mayRemove: free });
  await rejects(remove(passphrase!.id, recovery), { code: 'IN_USE', message: /the only pass/ });
  await rejects(remove(key!.id, words('old')), { code: 'NOT_FOUND' });
  const { added } = await addPassphrase(store, 'a', Buffer.from('new'), { secret: words('old') });
  await rejects(remove(added!.id, words('new')), { code: 'IN_USE', message: /opened just now/ });
  await remove(passphrase!.id, words('new'));
  deepEqual(await ids(store), [`recovery-key ${key!.id}`, `passphrase ${added!.id}`]);
  ok(await opens(store, recovery));
  ok(!(await opens(store, words('old'))));
});

test('what may not be removed stays, and the set opens with no more than before', async () => {
  const { store, recovery } = await place();
  const before = await ids(store);
  const mayRemove = () => Promise.reject(new Error('locked'));
  const secret = words('old');
  const change = { secret, mayRemove, id: undefined };
  await rejects(changePassphrase(store, 'a', Buffer.from('new'), change), /locked/);
  await rejects(changeRecoveryKey(store, 'a', { secret: recovery, mayRemove }), /locked/);
  deepEqual(await ids(store), before);
});

test('a set has at most 16 passphrases and recovery keys', async () => {
  const { store, recovery } = await place();
  const { record, keys } = await unlockSet(await readSet(store, 'a'), recovery);
  const { seal, ...rest } = record;
  const slots = [rest.slots[0]!, ...Array.from({ length: 15 }, () => rest.slots[1]!)];
  await writeSetRecord(store, sealSet({ ...rest, slots }, seal!.counter + 1, keys.record));
  const full = addPassphrase(store, 'a', Buffer.from('new'), { secret: recovery });
  await rejects(full, { code: 'FULL', message: /has 16 passphrases.*remove one/ });
});

/** Changes the recovery key, the power going at each call of it; then the set opens with the old or the new one. */
test('a power cut at any call leaves a set that opens, and the change can be repeated', async () => {
  const { disk, recovery } = await place();
  const random = seeded(7);
  const change = async (on: CrashingFs, secret: Secret, seed: number) => {
    const store = await openStore(simulatedWorld(on.files, seed), HOME);
    return changeRecoveryKey(store, 'a', { secret, mayRemove: free });
  };
  const whole = disk.copy(random);
  const began = whole.calls();
  await change(whole, recovery, 2);
  const calls = whole.calls() - began;
  ok(calls > 20, String(calls));
  let [former, both, onlyNew] = [0, 0, 0];
  for (let at = 0; at < calls; at++) {
    const on = disk.copy(seeded(below(random, 2 ** 31)), at);
    await change(on, recovery, 2).catch(onlyPowerCuts);
    const after = on.reboot();
    const store = await openStore(simulatedWorld(after.files, 3), HOME);
    const { slots } = await readSet(store, 'a');
    const isFormer = await opens(store, recovery);
    if (!isFormer) {
      // The new key went with its command; the passphrase still opens the set.
      equal(slots.length, 2);
      if (onlyNew++ === 0) ok(await opens(store, words('old')));
      continue;
    }
    if (slots.length === 2) former++;
    else both++;
    const again = await change(after, recovery, 4);
    equal(again.record.slots.length, 2);
    ok(await opens(store, paper(again.recoveryKey)));
    deepEqual((await readCopies(store, 'a')).problems, []);
  }
  ok(former > 0 && both > 0 && onlyNew > 0, `${former} ${both} ${onlyNew}`);
});
