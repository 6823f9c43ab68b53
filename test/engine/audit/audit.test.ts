import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { AUDIT, openedAudit, ROOT } from '../../support/audit.ts';
import { decodeAudit } from '../../../src/formats/store/service/audit.ts';
import { FormatError } from '../../../src/formats/format-error.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { type CrashingFs, crashingFs, onlyPowerCuts } from '../../support/crashing-fs.ts';
import { faultyFs } from '../../support/faulty-fs.ts';
import { seeded } from '../../support/random.ts';

async function textOf(files: FileSystem): Promise<string> {
  return Buffer.from(await files.readFile(AUDIT, 2 ** 20)).toString('utf8');
}

async function rewrite(files: FileSystem, text: string): Promise<void> {
  await files.unlink(AUDIT);
  await using file = await files.create(AUDIT);
  await file.write(Buffer.from(text), 0);
}

test('each change has its beginning and its end, also after a restart', async () => {
  const disk = crashingFs(seeded(1));
  const { audit } = await openedAudit(disk);
  const ended = await audit.begin(ROOT, 'session/discard', { session: 'x' });
  const other = await audit.begin({ ...ROOT, uid: 5 }, 'backup/forget', { point: 'p' });
  await other('failed', 'it is in use');
  await ended('done');
  const again = (await openedAudit(disk.copy(seeded(2)))).audit;
  await (await again.begin(ROOT, 'job/create', { long: 'x'.repeat(10_000) }))('done');
  deepEqual(
    (await again.last(100)).map(({ number, what, outcome, of }) => [number, what, outcome, of]),
    [
      [1, 'session/discard', 'begun', undefined],
      [2, 'backup/forget', 'begun', undefined],
      [3, 'backup/forget', 'failed', 2],
      [4, 'session/discard', 'done', 1],
      [5, 'job/create', 'begun', undefined],
      [6, 'job/create', 'done', 5],
    ],
  );
  const { problem, entries } = await again.check();
  equal(problem, null);
  equal(entries, 6);
  ok((await again.last(2)).length === 2);
});

test('what was altered, taken out, put in or moved is found', async () => {
  const disk = crashingFs(seeded(1));
  const { audit } = await openedAudit(disk);
  for (const session of ['a', 'b', 'c']) {
    await (await audit.begin(ROOT, 'session/discard', { session }))('done');
  }
  const text = await textOf(disk.files);
  const lines = text.split('\n').slice(0, -1);
  const wrong = [
    [text.replace('"session":"b"', '"session":"x"'), 3],
    [text.replace('"uid":0', '"uid":1'), 1],
    [lines.toSpliced(1, 1).join('\n'), 2],
    [lines.toSpliced(2, 0, lines[2]!).join('\n'), 4],
    [[lines[1], lines[0], ...lines.slice(2)].join('\n'), 2],
    [`${lines[0]}\n\n${lines[1]}`, 2],
  ] as const;
  for (const [altered, line] of wrong) {
    await rewrite(disk.files, `${altered.trimEnd()}\n`);
    const { problem } = await audit.check();
    match(problem ?? '', new RegExp(`^audit\\.log, line ${line}: `));
  }
  // Cut off at the end: only who kept the hash can know.
  const { hash } = await (async () => {
    await rewrite(disk.files, text);
    return audit.check();
  })();
  await rewrite(disk.files, `${lines.slice(0, -1).join('\n')}\n`);
  const shorter = await audit.check();
  equal(shorter.problem, null);
  ok(shorter.hash !== hash);
});

for (const fileLength of [undefined, 300]) {
  test(`a power cut at any call: what began is there, and the log goes on (${fileLength})`, () =>
    powerCuts(fileLength));
}

async function powerCuts(fileLength: number | undefined): Promise<void> {
  const work = async (fs: CrashingFs): Promise<void> => {
    const { audit } = await openedAudit(fs, fileLength);
    for (const session of ['a', 'b'.repeat(1500)]) {
      await (await audit.begin(ROOT, 'session/discard', { session }))('done');
      acknowledged++;
    }
  };
  let acknowledged = 0;
  const whole = crashingFs(seeded(1));
  await work(whole);
  for (let cut = 1; cut <= whole.calls() + 1; cut++) {
    for (let seed = 1; seed <= 20; seed++) {
      const fs = crashingFs(seeded(seed), cut);
      acknowledged = 0;
      await work(fs).catch(onlyPowerCuts);
      const { audit } = await openedAudit(fs.reboot(), fileLength);
      const done = (await audit.last(100)).filter(({ outcome }) => outcome === 'done');
      ok(done.length >= acknowledged, `cut ${cut}, seed ${seed}`);
      await (await audit.begin(ROOT, 'set/create', {}))('done');
      equal((await audit.check()).problem, null, `cut ${cut}, seed ${seed}`);
    }
  }
}

test('full files stay; the chain, the newest entries and the check go on over them', async () => {
  const disk = crashingFs(seeded(1));
  const { audit } = await openedAudit(disk, 500);
  for (let n = 0; n < 10; n++) await (await audit.begin(ROOT, 'set/create', { n }))('done');
  const names = (await disk.files.list('/store')).filter((name) => name.startsWith('audit'));
  ok(names.length > 3, names.join(' '));
  for (const log of [audit, (await openedAudit(disk, 500)).audit]) {
    const { entries, first, problem } = await log.check();
    deepEqual([entries, first, problem], [20, 1, null]);
    const numbers = (await log.last(15)).map(({ number }) => number);
    deepEqual(
      numbers,
      Array.from({ length: 15 }, (_, at) => at + 6),
    );
  }
  // One in the middle is gone, and then the oldest one.
  const [oldest, second] = names as [string, string];
  const kept = await disk.files.readFile(`/store/${second}`, 2 ** 20);
  await disk.files.unlink(`/store/${second}`);
  match((await audit.check()).problem!, /^audit-\d{12}\.log, line 1: /);
  {
    await using file = await disk.files.create(`/store/${second}`);
    await file.write(kept, 0);
  }
  equal((await audit.check()).problem, null);
  await disk.files.unlink(`/store/${oldest}`);
  const { first, problem } = await audit.check();
  deepEqual([first > 1, problem], [true, null]);
});

test('what is damaged is left out of what is shown, and told of where nothing else is left', async () => {
  const disk = crashingFs(seeded(1));
  const { audit } = await openedAudit(disk, 1500);
  const numbers = async (count: number) => (await audit.last(count)).map(({ number }) => number);
  deepEqual(await numbers(5), []);
  for (let n = 0; n < 6; n++) await (await audit.begin(ROOT, 'set/create', { n }))('done');
  const lines = (await textOf(disk.files)).split('\n').slice(0, -1);
  ok(lines.length >= 3, 'and a full file is before it');
  const before = 12 - lines.length;
  lines[lines.length - 2] = lines.at(-2)!.replaceAll('"', ' ');
  await rewrite(disk.files, `${lines.join('\n')}\n`);
  deepEqual(await numbers(2), [10, 12]);
  equal((await numbers(100)).length, 11);
  match((await audit.check()).problem!, /^audit\.log, line \d+: /);
  await rewrite(disk.files, 'x\n'.repeat(40));
  equal((await numbers(100)).at(-1), before, 'what is in files before it is there');
  for (const name of await disk.files.list('/store')) {
    if (name !== 'audit.log') await disk.files.unlink(`/store/${name}`);
  }
  await rejects(audit.last(10), {
    ...{ name: 'FormatError', code: 'CORRUPT' },
    message: '/store/audit.log has no readable entry: see "audit check"',
  });
});

for (const fault of ['rename', 'create', 'syncDirectory'] as const) {
  test(`no entry of a full file is lost where a ${fault} fails as the next one is begun`, async () => {
    const disk = crashingFs(seeded(1));
    let failures = 0;
    const files = faultyFs(disk.files, (operation, path) =>
      operation === fault && path.startsWith('/store') && failures-- > 0
        ? new SystemError('IO', 'it failed')
        : undefined,
    );
    const { audit, troubles } = await openedAudit({ files }, 500);
    const change = async (n: number, log = audit) =>
      (await log.begin(ROOT, 'set/create', { n }))('done');
    for (let n = 0; n < 4; n++) {
      failures = 2;
      for (let again = 0; again < 6; again++) await change(n);
    }
    ok(troubles.length > 0);
    const { entries, first, problem } = await audit.check();
    // What has told of its failure is not there; all else is.
    const missing = troubles.filter((it) => it.includes('is missing in the audit log')).length;
    deepEqual([entries, first, problem], [48 - missing, 1, null]);
    equal(fault === 'rename', missing === 0, 'what cannot be set aside goes on');
    equal((await audit.last(100)).length, entries);
    // It is looked at, and the service is started again, before what fails is mended.
    failures = Number.POSITIVE_INFINITY;
    const told = troubles.length;
    for (let tries = 0; tries < 4; tries++) await change(8);
    ok(troubles.length > told);
    const before = await audit.check();
    equal((await audit.last(100)).length, before.entries);
    const started = (await openedAudit({ files }, 500)).audit;
    deepEqual(await started.check(), before);
    deepEqual(await started.last(100), await audit.last(100));
    failures = 0;
    await change(9, started);
    const after = await started.check();
    deepEqual([after.entries, after.problem], [before.entries + 2, null]);
    const again = (await openedAudit(disk, 500)).audit;
    deepEqual(await again.check(), after);
  });
}

test('a file whose name was not made durable is made so before a later start writes into it', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const disk = crashingFs(seeded(seed));
    let isFailing = false;
    const files = faultyFs(disk.files, (operation) =>
      isFailing && operation === 'syncDirectory' ? new SystemError('IO', 'it failed') : undefined,
    );
    const { audit, troubles } = await openedAudit({ files }, 500);
    isFailing = true;
    for (let n = 0; n < 4; n++) await (await audit.begin(ROOT, 'set/create', { n }))('done');
    ok(troubles.length > 0);
    isFailing = false;
    const next = (await openedAudit({ files }, 500)).audit;
    await (await next.begin(ROOT, 'set/create', {}))('done');
    const { entries, hash } = await next.check();
    const rebooted = (await openedAudit(disk.reboot(), 500)).audit;
    deepEqual(await rebooted.check(), { entries, first: 1, hash, problem: null });
  }
});

test('a log file that is removed while it is in use is reported', async () => {
  const disk = crashingFs(seeded(1));
  const { audit } = await openedAudit(disk);
  deepEqual([await audit.last(10), (await audit.check()).entries], [[], 0], 'there is none yet');
  await (await audit.begin(ROOT, 'set/create', {}))('done');
  await disk.files.unlink(AUDIT);
  await rejects(audit.check(), { code: 'NOT_FOUND' });
  await rejects(audit.last(10), { code: 'NOT_FOUND' });
});

test('a file that has the name of the next full one stays', async () => {
  const log = async (name: string | undefined) => {
    const disk = crashingFs(seeded(1));
    const { audit, troubles } = await openedAudit(disk, 500);
    if (name !== undefined)
      await (await disk.files.create(`/store/${name}`))[Symbol.asyncDispose]();
    for (let n = 0; n < 2; n++) await (await audit.begin(ROOT, 'set/create', {}))('done');
    return { disk, audit, troubles };
  };
  const [name] = await (await log(undefined)).disk.files.list('/store');
  match(name!, /^audit-\d{12}\.log$/);
  const { disk, audit, troubles } = await log(name);
  equal((await disk.files.stat(`/store/${name}`))!.size, 0);
  deepEqual(troubles, [
    `/store/audit.log is full, but could not be set aside: /store/${name} exists already`,
  ]);
  equal((await audit.last(100)).length, 4);
});

test('a log that cannot be written is an alarm, and no reason to refuse what would mend that', async () => {
  const disk = crashingFs(seeded(1));
  let isFull = false;
  const files = faultyFs(disk.files, (operation) =>
    isFull && operation === 'write' ? new SystemError('NO_SPACE', 'no room') : undefined,
  );
  const { audit, troubles } = await openedAudit({ files });
  await (await audit.begin(ROOT, 'set/create', { a: 1 }))('done');
  isFull = true;
  await (await audit.begin(ROOT, 'session/discard', {}))('done');
  equal(troubles.length, 2);
  isFull = false;
  await (await audit.begin(ROOT, 'x', {}))('done');
  match(troubles[0]!, /session\/discard is missing in the audit log/);
  equal((await audit.check()).problem, null);
});

test('a change whose beginning could not be noted says itself what was asked', async () => {
  const disk = crashingFs(seeded(1));
  let isFull = true;
  const files = faultyFs(disk.files, (operation) =>
    isFull && operation === 'write' ? new SystemError('NO_SPACE', 'no room') : undefined,
  );
  const { audit } = await openedAudit({ files });
  const first = await audit.begin(ROOT, 'session/discard', { session: 'x' });
  isFull = false;
  await first('done');
  await (await audit.begin(ROOT, 'set/create', { set: 'a' }))('done');
  isFull = true;
  const last = await audit.begin(ROOT, 'backup/forget', { point: 'p' });
  isFull = false;
  await last('failed', 'in use');
  deepEqual(
    (await audit.last(10)).map(({ number, what, of, request }) => [number, what, of, request]),
    [
      [1, 'session/discard', undefined, { session: 'x' }],
      [2, 'set/create', undefined, { set: 'a' }],
      [3, 'set/create', 2, undefined],
      [4, 'backup/forget', undefined, { point: 'p' }],
    ],
  );
  equal((await audit.check()).problem, null);
});

test('checks and views do not hold up changes', async () => {
  const disk = crashingFs(seeded(1));
  const gate = Promise.withResolvers<void>();
  let isSlow = false;
  const files: FileSystem = {
    ...disk.files,
    async open(path, access) {
      const file = await disk.files.open(path, access);
      return {
        ...file,
        async read(into, offset) {
          if (isSlow && access === 'read') await gate.promise;
          return file.read(into, offset);
        },
        [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
      };
    },
  };
  const { audit } = await openedAudit({ files });
  const change = async () => (await audit.begin(ROOT, 'set/create', {}))('done');
  for (let n = 0; n < 3; n++) await change();
  isSlow = true;
  const looking = [audit.check(), audit.last(100)] as const;
  await change();
  gate.resolve();
  const [{ entries, problem }, shown] = await Promise.all(looking);
  deepEqual([entries, problem, shown.length], [6, null, 6], 'as it was when they asked');
  equal((await audit.check()).entries, 8);
});

test('a log of many pieces is checked to its end', async () => {
  const disk = crashingFs(seeded(1));
  const { audit } = await openedAudit(disk);
  const request = { name: 'ä'.repeat(3000) };
  for (let n = 0; n < 400; n++) await (await audit.begin(ROOT, 'set/create', request))('done');
  ok((await disk.files.stat(AUDIT))!.size > 2 * 2 ** 20);
  const { entries, problem } = await audit.check();
  deepEqual([entries, problem], [800, null]);
});

test('arbitrary lines give an entry or a FormatError', async () => {
  for (const line of ['', 'x', `${'0'.repeat(64)} {}`, `${'0'.repeat(64)} {"number":1`, 'a b c']) {
    for (const before of [undefined, '0'.repeat(64)]) {
      let error: unknown;
      try {
        decodeAudit(line, before);
      } catch (cause) {
        error = cause;
      }
      ok(error instanceof FormatError, line);
    }
  }
});
