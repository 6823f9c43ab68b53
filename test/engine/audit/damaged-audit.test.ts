import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import { AUDIT, openedAudit, ROOT } from '../../support/audit.ts';
import { AUDIT_START, decodeAudit, encodeAudit } from '../../../src/formats/store/service/audit.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { faultyFs } from '../../support/faulty-fs.ts';
import { seeded } from '../../support/random.ts';

// A2
test('an end of which more than one line is damaged is set aside whole, and reported', async () => {
  const damages: readonly ((bytes: Uint8Array, lines: readonly number[]) => void)[] = [
    // Two whole lines.
    (bytes, lines) => {
      for (const end of lines.slice(-2)) bytes[end - 1]! ^= 1;
    },
    // A rotten sector over the end.
    (bytes, lines) => bytes.fill(0, lines.at(-3)! + 20),
    // All of it.
    (bytes) => bytes.fill(0x0a),
  ];
  for (const [n, harm] of damages.entries()) {
    const disk = crashingFs(seeded(1));
    const { audit } = await openedAudit(disk);
    for (let n = 0; n < 30; n++) {
      await (await audit.begin(ROOT, 'set/create', { x: 'x'.repeat(2000) }))('done');
    }
    const bytes = Buffer.from(await disk.files.readFile(AUDIT, 2 ** 20));
    const ends: number[] = [];
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) ends.push(at);
    if (n === 1) bytes.fill('y', bytes.length - 40_000);
    harm(bytes, ends);
    {
      await using file = await disk.files.open(AUDIT, 'write');
      await file.write(bytes, 0);
    }
    const next = await openedAudit(disk);
    equal(next.troubles.length, 1);
    const aside = /(\/store\/audit-\d{12}\.log) holds what is left/.exec(next.troubles[0]!)?.[1];
    deepEqual(Buffer.from(await disk.files.readFile(aside!, 2 ** 20)), bytes, 'nothing is cut');
    const [first] = await next.audit.last(1);
    equal(first?.what, 'audit');
    equal(first.outcome, 'failed');
    match((await next.audit.check()).problem ?? '', /^audit-\d{12}\.log, line \d+: /);
    await (await next.audit.begin(ROOT, 'set/create', {}))('done');
    deepEqual((await openedAudit(disk)).troubles, [], 'once');
  }
});

test('a line that was altered with its own hash made good is found at the one behind it', async () => {
  const disk = crashingFs(seeded(1));
  const { audit } = await openedAudit(disk);
  for (const session of ['a', 'b']) {
    await (await audit.begin(ROOT, 'session/discard', { session }))('done');
  }
  const lines = Buffer.from(await disk.files.readFile(AUDIT, 2 ** 20))
    .toString()
    .split('\n');
  const first = decodeAudit(lines[0]!, AUDIT_START);
  const { entry } = decodeAudit(lines[1]!, first.hash);
  const forged = encodeAudit({ ...entry, outcome: 'failed' }, first.hash).line;
  lines[1] = Buffer.from(forged).toString().trimEnd();
  await using file = await disk.files.open(AUDIT, 'write');
  await file.truncate(0);
  await file.write(Buffer.from(lines.join('\n')), 0);
  match((await (await openedAudit(disk)).audit.check()).problem ?? '', /^audit\.log, line 3: /);
});

test('a number that is missing is found where the chain was made good', async () => {
  const disk = crashingFs(seeded(1));
  const { audit } = await openedAudit(disk);
  await (await audit.begin(ROOT, 'session/discard', { session: 'a' }))('done');
  const text = Buffer.from(await disk.files.readFile(AUDIT, 2 ** 20)).toString();
  const first = decodeAudit(text.split('\n')[0]!, AUDIT_START);
  const { entry } = decodeAudit(text.split('\n')[1]!, first.hash);
  const forged = encodeAudit({ ...entry, number: 3 }, first.hash).line;
  await using file = await disk.files.open(AUDIT, 'write');
  await file.write(forged, text.indexOf('\n') + 1);
  match((await audit.check()).problem ?? '', /^audit\.log, line 2: a number is missing/);
});

test('half a line of an entry for which there was no room does not pass for an alteration', async () => {
  const disk = crashingFs(seeded(1));
  let isFull = false;
  const files = faultyFs(disk.files, (operation) =>
    isFull && operation === 'write' ? new SystemError('NO_SPACE', 'no room') : undefined,
  );
  const { audit, troubles } = await openedAudit({ files });
  await (await audit.begin(ROOT, 'session/discard', { session: 'a' }))('done');
  isFull = true;
  await (await audit.begin(ROOT, 'session/discard', { session: 'b' }))('done');
  equal(troubles.length, 2);
  const { entries, problem } = await audit.check();
  deepEqual([entries, problem], [2, null]);
});

test('a torn line is cut off before its file, which is full, is set aside', async () => {
  const disk = crashingFs(seeded(1));
  const LENGTH = 300;
  const { audit } = await openedAudit(disk, LENGTH);
  await (await audit.begin(ROOT, 'set/create', { x: 'x'.repeat(LENGTH) }))('done');
  await audit.begin(ROOT, 'set/create', { x: 'x'.repeat(LENGTH) });
  {
    await using file = await disk.files.open(AUDIT, 'write');
    const size = await file.size();
    ok(size >= LENGTH);
    await file.write(Buffer.from('{"number":4,"ti'), size);
  }
  const next = await openedAudit(disk, LENGTH);
  equal((await next.audit.last(1))[0]!.outcome, 'torn');
  const { entries, problem } = await next.audit.check();
  deepEqual([entries, problem], [4, null]);
});

test('a damaged last line of a full file is not cut off', async () => {
  const disk = crashingFs(seeded(1));
  const { audit } = await openedAudit(disk, 300);
  await (await audit.begin(ROOT, 'set/create', { x: 'x'.repeat(500) }))('done');
  const name = (await disk.files.list('/store')).find((it) => it !== 'audit.log')!;
  const bytes = await disk.files.readFile(`/store/${name}`, 2 ** 20);
  bytes[bytes.length - 2]! ^= 1;
  {
    await using file = await disk.files.open(`/store/${name}`, 'write');
    await file.write(bytes, 0);
  }
  await disk.files.unlink(AUDIT);
  await openedAudit(disk, 300);
  deepEqual(await disk.files.readFile(`/store/${name}`, 2 ** 20), bytes);
});
