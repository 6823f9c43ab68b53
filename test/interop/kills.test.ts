import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'tap';
import { openNbdDisk } from '../../src/block/nbd-client/nbd-disk.ts';
import { parseNbdUri } from '../../src/block/nbd-client/nbd-uri.ts';
import { expectDone } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { program, without } from '../support/programs.ts';
import { below, noise, seeded } from '../support/random.ts';
import { type RunningService, serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { type WriteHistory, writeHistory } from '../support/write-history.ts';

/*
 * The service is killed again and again while guests write, jobs are asked for and run, and schedules make more. What
 * was answered is there afterwards: writes, flushed or not, sessions, jobs and schedules. No person has to act.
 */
const KILLS = Number(process.env['KILLS'] ?? 6);
const SEED = Number(process.env['SEED'] ?? 1);

const MiB = 2 ** 20;
const SIZE = 16 * MiB;
const LENGTH_MAX = 96 * 1024;

const root = temporaryDirectory();
const image = join(root, 'disk.raw');
makeRawDisk(image, SIZE, 50);
const base = readFileSync(image);
const large = join(root, 'large.raw');
const home = serviceHome(root);
const { holdfast } = home;

interface Guest {
  readonly session: string;
  readonly uri: string;
  readonly history: WriteHistory;
}

async function startSession(): Promise<Guest> {
  const { result } = await expectDone(holdfast('recover', 'vm@latest', '--detach'));
  const { session, exports } = result as unknown as { session: string; exports: { uri: string }[] };
  return { session, uri: exports[0]!.uri, history: writeHistory(base) };
}

function randomWrite(random: () => number) {
  const length = 512 * (1 + below(random, LENGTH_MAX / 512));
  const offset = 512 * below(random, (SIZE - length) / 512);
  return { offset, length, value: below(random, 256), durable: below(random, 4) === 0 };
}

/** Several writes under way at a time, until the service dies. */
async function writeUntilItDies({ uri, history }: Guest, random: () => number): Promise<void> {
  await using disk = await openNbdDisk(uri);
  const lanes = Array.from({ length: 4 }, async (_, lane) => {
    for (;;) {
      const { length, value, durable } = randomWrite(random);
      // Each lane has a quarter: of two simultaneous writes neither is known to be the newer.
      const offset = lane * (SIZE / 4) + 512 * below(random, (SIZE / 4 - length) / 512);
      const answered = history.write({ offset, length, value, durable });
      await disk.write(new Uint8Array(length).fill(value), offset, durable ? 'durable' : 'cached');
      answered();
      if (below(random, 8) === 0) {
        const flushed = history.flush();
        await disk.flush();
        flushed();
      }
    }
  });
  await Promise.allSettled(lanes);
}

/** As a hypervisor's own client, which connects again by itself and must never see an error. */
function qemuGuest({ uri, history }: Guest, random: () => number) {
  const { address, name } = parseNbdUri(uri);
  if (address.kind !== 'unix') throw new Error(`not a unix socket: ${uri}`);
  const options = `driver=nbd,server.type=unix,server.path=${address.path},export=${name},reconnect-delay=120`;
  const child = spawn('qemu-io', ['-t', 'writeback', '--image-opts', options], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (text: Buffer) => (errors += text.toString()));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const over = new AbortController();
  let writes = 0;
  async function answered(what: RegExp): Promise<void> {
    for (;;) {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`qemu-io has ended: ${errors}`);
      if (/fail|error/i.test(value)) throw new Error(`qemu-io: ${value}`);
      if (what.test(value)) return;
    }
  }
  async function run(): Promise<void> {
    while (!over.signal.aborted) {
      const { offset, length, value, durable } = randomWrite(random);
      const done = history.write({ offset, length, value, durable });
      child.stdin.write(`write ${durable ? '-f ' : ''}-P ${value} ${offset} ${length}\n`);
      await answered(/wrote /);
      // The line with the time that it took.
      await answered(/ops/);
      done();
      writes++;
    }
    child.stdin.end('quit\n');
    await once(child, 'close');
  }
  const running = run();
  return {
    async end(): Promise<number> {
      over.abort();
      await running;
      equal(errors, '');
      return writes;
    },
    [Symbol.dispose]: () => void child.kill('SIGKILL'),
  };
}

async function contents(uri: string): Promise<Uint8Array> {
  await using disk = await openNbdDisk(uri);
  const found = new Uint8Array(SIZE);
  for (let at = 0; at < SIZE; at += MiB) await disk.read(found.subarray(at, at + MiB), at);
  return found;
}

/** Acknowledged jobs, until commands no longer find a service. */
async function askForJobs(round: number, acknowledged: Set<string>): Promise<void> {
  for (let n = 0; ; n++) {
    const what =
      n % 3 === 2
        ? ['store', 'check', '--read-data']
        : ['backup', 'create', 'nightly', '--machine', `m${round % 3}`, '--disk', `vda=${large}`];
    const { code, result } = await holdfast(...what, '--queue');
    if (code !== 0) return;
    acknowledged.add(result['job'] as string);
  }
}

interface Shown {
  readonly job: string;
  readonly state: string;
  readonly schedule: string | null;
  readonly result: { readonly point?: string; readonly problems?: unknown[] } | null;
}

async function allDone(service: RunningService, acknowledged: Set<string>): Promise<Shown[]> {
  await expectDone(holdfast('schedule', 'remove', 'often'));
  // A job that was there when the service died is left alone for a while: not now.
  service.signal('SIGHUP');
  for (const job of acknowledged) await expectDone(holdfast('job', 'attend', job));
  for (;;) {
    const { result } = await expectDone(holdfast('job', 'list'));
    const jobs = result['jobs'] as Shown[];
    const open = jobs.find(({ state }) => state === 'waiting' || state === 'running');
    if (!open) return jobs;
    service.signal('SIGHUP');
    await holdfast('job', 'attend', open.job);
  }
}

test(`kill -9 of the service ${KILLS} times under load loses nothing that was answered`, {
  skip: without('qemu-io', 'qemu-img'),
}, async () => {
  writeFileSync(large, noise(24 * MiB, 3));
  const random = seeded(SEED);
  let service = await serviceWith(home, image);
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => void (await service.stop('SIGKILL')));
  const guests = [await startSession(), await startSession()];
  const lasting = await startSession();
  using qemu = qemuGuest(lasting, random);
  const often = ['--backup', 'nightly', '--machine', 'often', '--disk', `vda=${image}`];
  await expectDone(holdfast('schedule', 'create', 'often', '--at', '*:*:0/3', ...often));
  const acknowledged = new Set<string>();
  for (let round = 0; round < KILLS; round++) {
    const load = [
      ...guests.map((guest) => writeUntilItDies(guest, random)),
      askForJobs(round, acknowledged),
    ];
    await new Promise((resolve) => setTimeout(resolve, 200 + below(random, 2000)));
    await service.stop('SIGKILL');
    await Promise.all(load);
    service = await home.run();
    match(service.log(), /ready: 3 sessions run/);
    for (const { uri, history, session } of guests) {
      history.check(await contents(uri), 'nothing answered', `round ${round}, ${session}`);
    }
  }
  ok((await qemu.end()) > KILLS, 'it wrote on after each');
  lasting.history.check(await contents(lasting.uri), 'nothing answered', 'the guest that lasted');

  const jobs = await allDone(service, acknowledged);
  const known = new Set(jobs.map(({ job }) => job));
  deepEqual(
    [...acknowledged].filter((job) => !known.has(job)),
    [],
  );
  deepEqual(
    jobs.filter(({ state }) => state !== 'done'),
    [],
  );
  const { result } = await expectDone(holdfast('backup', 'list'));
  const points = new Set((result['points'] as { point: string }[]).map(({ point }) => point));
  const made = jobs.flatMap((it) => it.result?.point ?? []);
  deepEqual(
    made.filter((point) => !points.has(point)),
    [],
  );
  equal(new Set(made).size, made.length, 'none was made twice');
  ok(jobs.some(({ schedule }) => schedule === 'often'));

  // As other people's client finds it.
  for (const { uri, history, session } of [...guests, lasting]) {
    const copy = join(root, `${session}.raw`);
    await program('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', uri, copy);
    history.check(readFileSync(copy), 'nothing answered', `${session} by qemu-img`);
  }
  const checked = await expectDone(holdfast('store', 'check', '--read-data'));
  deepEqual(checked.result['problems'], []);
  deepEqual(checked.result['locked'], []);
  equal((await expectDone(holdfast('audit', 'check'))).result['problem'], null);
  equal(await service.stop('SIGTERM'), 0);
  service = await home.run();
  match(service.log(), /ready: 3 sessions run/);
});
