import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expectDone, type Holdfast } from '../test/support/cli.ts';
import { type LibvirtHost, libvirtHost, libvirtMissing } from '../test/support/libvirt.ts';
import { serviceHome } from '../test/support/service.ts';
import { until } from '../test/support/until.ts';
import { figure, seconds, section, skipped } from './figures.ts';
import { guestDisks } from './hypervisor-data.ts';
import { median, timed } from './measure.ts';

const MB = 1e6;
const ROUNDS = 3;
const DATA = 400 * MB;
const NAME = 'web1';
/** How long a guest writes to its own disk, to compare with. */
const QUIET_MS = 10_000;

/**
 * A machine that runs from its backup on libvirt, and moves there while its guest writes: against QEMU's own start, and
 * against `qemu-img convert` from the same store into the same pool, in turn.
 */
export async function benchMigrate(work: string): Promise<void> {
  section(`A machine of ${DATA / MB} MB of 4 GiB runs from its backup, and moves (QEMU emulates)`);
  if (libvirtMissing) return skipped('a machine runs and moves', libvirtMissing);
  process.env['XDG_CONFIG_HOME'] = join(work, 'config');
  await using host = await libvirtHost();
  const system = join(host.directory, 'system.qcow2');
  renameSync(guestDisks(work, { bytes: DATA, changeBytes: MB, changes: 1 }).system, system);
  const home = serviceHome(work);
  const exports = join(host.directory, 'exports');
  mkdirSync(exports, { mode: 0o755 });
  await using _service = await home.run({ environment: { RUNTIME_DIRECTORY: exports } });
  const { holdfast } = home;
  const pool = join(host.directory, 'fast');
  mkdirSync(pool);
  await host.virsh('pool-create-as', 'fast', 'dir', '--target', pool);
  const started = await backedUp(host, home.holdfast, { system, passphrase: home.passphrase });
  const rounds: Round[] = [];
  for (let n = 0; n < ROUNDS; n++) rounds.push(await round(host, holdfast, pool));
  report(rounds, started);
}

interface Round {
  readonly run: number;
  readonly move: number;
  readonly convert: number;
  /** Milliseconds below which 99 of 100 writes of the guest were done: while it moved, and on its own disk. */
  readonly moving: number;
  readonly quiet: number;
}

/** Makes the recovery point, removes the machine. Returns the seconds that it took to start. */
async function backedUp(
  host: LibvirtHost,
  holdfast: Holdfast,
  { system, passphrase }: { readonly system: string; readonly passphrase: string },
): Promise<number> {
  await expectDone(holdfast('store', 'create'));
  const secret = ['--passphrase-file', passphrase];
  await expectDone(holdfast('set', 'create', 'nightly', '--encrypt', ...secret));
  await expectDone(holdfast('hypervisor', 'add', 'kvm1', host.uri, '--sockets', host.sockets));
  const disks = [{ target: 'vda', path: system }];
  const machine = await host.define({ name: NAME, disks });
  const { seconds: started } = await timed(host.command('virsh', 'start', NAME));
  await machine.durable(2);
  await expectDone(holdfast('backup', 'create', 'nightly', '--from', `kvm1/${NAME}`));
  await machine.shutDown();
  await host.virsh('undefine', NAME, '--checkpoints-metadata');
  return started;
}

async function round(host: LibvirtHost, holdfast: Holdfast, pool: string): Promise<Round> {
  const run = await took(async () => {
    const asked = ['run', `${NAME}@latest`, '--on', 'kvm1', '--pool', 'fast', '--power-on'];
    await expectDone(holdfast(...asked));
  });
  const [{ session }] = (await expectDone(holdfast('session', 'list'))).result['sessions'] as [
    { session: string },
  ];
  await until('the guest writes', async () => (await written(host)) > 0);
  await countWrites(host);
  const move = await took(async () => {
    await expectDone(holdfast('session', 'migrate', session));
    await expectDone(holdfast('session', 'attend', session));
  });
  const moving = await slowest(host);
  await countWrites(host);
  await pause(QUIET_MS);
  const quiet = await slowest(host);
  await host.virsh('destroy', NAME);
  await host.virsh('undefine', NAME);
  for (const volume of readdirSync(pool)) rmSync(join(pool, volume));
  await host.virsh('pool-refresh', 'fast');
  const convert = await took(() => converted(holdfast, join(pool, 'converted.qcow2')));
  rmSync(join(pool, 'converted.qcow2'));
  return { run, move, convert, moving, quiet };
}

async function converted(holdfast: Holdfast, to: string): Promise<void> {
  const { result } = await expectDone(holdfast('recover', `${NAME}@latest`, '--detach'));
  const [disk] = result['exports'] as [{ uri: string }];
  await timed(['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', '-t', 'writeback', disk.uri, to]);
  const session = String(result['session']);
  await expectDone(holdfast('session', 'stop', session));
  await expectDone(holdfast('session', 'discard', session));
}

async function took(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

/* QEMU itself counts how long each write of the guest took. */

const EDGES_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

interface BlockStats {
  readonly qdev?: string;
  readonly stats: {
    readonly wr_operations: number;
    readonly wr_latency_histogram?: { readonly bins: readonly number[] };
  };
}

async function monitor(host: LibvirtHost, execute: string, words?: object): Promise<unknown> {
  const command = JSON.stringify({ execute, ...(words && { arguments: words }) });
  const answer = JSON.parse(await host.virsh('qemu-monitor-command', NAME, command)) as object;
  return (answer as { return: unknown }).return;
}

async function diskStats(host: LibvirtHost): Promise<BlockStats> {
  const all = (await monitor(host, 'query-blockstats')) as BlockStats[];
  return all.find(({ qdev }) => qdev?.includes('virtio-disk0'))!;
}

const written = async (host: LibvirtHost): Promise<number> =>
  (await diskStats(host)).stats.wr_operations;

/** From now on. */
async function countWrites(host: LibvirtHost): Promise<void> {
  const { qdev } = await diskStats(host);
  const boundaries = EDGES_MS.map((ms) => ms * MB);
  await monitor(host, 'block-latency-histogram-set', { id: qdev, 'boundaries-write': boundaries });
}

async function slowest(host: LibvirtHost): Promise<number> {
  const { bins } = (await diskStats(host)).stats.wr_latency_histogram!;
  const all = bins.reduce((sum, count) => sum + count, 0);
  let seen = 0;
  const bin = bins.findIndex((count) => (seen += count) >= all * 0.99);
  return EDGES_MS[bin] ?? Infinity;
}

function report(rounds: readonly Round[], started: number): void {
  const of = (what: keyof Round): number => median(rounds.map((it) => it[what]));
  const beyond = of('run') - started;
  figure('command to running machine', seconds(of('run')), `QEMU's own start ${seconds(started)}`);
  figure('... beyond that', seconds(beyond), 'limit 2 s', { ratio: 2 / beyond, aim: '1x' });
  figure(
    'command to the end of the move',
    seconds(of('move')),
    `convert ${seconds(of('convert'))}`,
    {
      ...{ ratio: of('convert') / of('move'), aim: '0.8x' },
    },
  );
  figure(
    '99 of 100 writes of its guest, moving',
    `${of('moving')} ms`,
    `at rest ${of('quiet')} ms`,
  );
}
