import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type LibvirtHost, libvirtHost, libvirtMissing } from '../test/support/libvirt.ts';
import { definitionOf, type LibvirtMachine } from '../test/support/libvirt-machine.ts';
import { until } from '../test/support/until.ts';
import { figure, seconds, section, skipped } from './figures.ts';
import { type Holdfast, holdfastIn } from './holdfast.ts';
import { guestDisks } from './hypervisor-data.ts';
import { isInstalled, median, type Run, timed } from './measure.ts';

const MB = 1e6;
const FULLS = 3;
const CHANGES = 5;
const GUEST_DATA = { bytes: 400 * MB, changeBytes: 10 * MB, changes: CHANGES };
const LISTED = 1000;
/** Of what is short. */
const ROUNDS = 3;
const PEER = 'virtnbdbackup';

/** A way to back a machine of its own up: two products' checkpoints do not get along on one. */
interface Product {
  readonly machine: LibvirtMachine;
  readonly fulls: Measured[];
  readonly increments: Measured[];
  /** Into a place of its own. */
  full(round: number): Promise<number>;
  /** Into the same place as the last full backup. */
  increment(): Promise<number>;
  /** Of that place, in bytes. */
  kept(): number;
}

interface Ours extends Product {
  readonly holdfast: Holdfast;
}

interface Measured {
  readonly seconds: number;
  readonly kept: number;
}

/**
 * Backups of a machine that libvirt runs, with a disk of 4 GiB, against virtnbdbackup with its compression on: in turn,
 * each of its own clone of the machine. The guests write nothing meanwhile. Both run as commands, so the start of the
 * process, and of Python, is in each figure.
 */
export async function benchHypervisor(work: string): Promise<void> {
  section('Machines of libvirt (QEMU emulates; each in turn, median of rounds)');
  if (libvirtMissing) return skipped('machines of libvirt', libvirtMissing);
  if (!isInstalled(PEER)) return skipped('machines of libvirt', `${PEER} is not installed`);
  process.env['XDG_CONFIG_HOME'] = join(work, 'config');
  const images = guestDisks(work, GUEST_DATA);
  await using host = await libvirtHost();
  const ours = await oursOn(host, work, await cloned(host, 'ours', images));
  const theirs = theirsOn(host, work, await cloned(host, 'theirs', images));
  const products = [ours, theirs];
  for (let round = 0; round < FULLS; round++) {
    for (const it of inTurn(products, round)) {
      it.fulls.push({ seconds: await it.full(round), kept: it.kept() });
    }
  }
  for (let n = 1; n <= CHANGES; n++) {
    const change = `cp -r /disks/vdb/later/${n} /disks/vda/later${n} && sync`;
    for (const { machine } of products) await machine.run(change);
    for (const it of inTurn(products, n)) {
      const before = it.kept();
      it.increments.push({ seconds: await it.increment(), kept: it.kept() - before });
    }
  }
  report(ours, theirs);
  await reportStart(ours);
  for (const { machine } of products) await machine.destroy();
  await benchLists(host, ours.holdfast);
}

/** Neither is always the one that finds things warm. */
function inTurn(products: readonly Product[], round: number): readonly Product[] {
  return round % 2 === 0 ? products : products.toReversed();
}

/** A running machine with disks like these, whose guest rests and reports when it is frozen and thawed. */
async function cloned(
  host: LibvirtHost,
  name: string,
  images: { readonly system: string; readonly later: string },
): Promise<LibvirtMachine> {
  const disks = [images.system, images.later].map((image, n) => {
    const [target, path] = [`vd${'ab'[n]}`, join(host.directory, `${name}-${n}.qcow2`)];
    copyFileSync(image, path);
    return { target, path };
  });
  const machine = await host.define({ name, disks });
  await machine.start();
  await machine.rest();
  // The agent runs a hook before it freezes, and after it has thawed.
  const hook = '#!/bin/sh\nread up rest </proc/uptime\necho "HOOK $1 $up" >/dev/ttyS1\n';
  await machine.run(`printf '${hook.replaceAll('\n', '\\n')}' >/run/hook; chmod +x /run/hook`);
  const agent = 'qemu-ga -m virtio-serial -d -t /run -f /run/qemu-ga.pid -F/run/hook';
  const port = '/dev/virtio-ports/org.qemu.guest_agent.0';
  await machine.run(`kill $(cat /run/qemu-ga.pid); sleep 1; ${agent} -p ${port}`);
  const ping = ['qemu-agent-command', name, '{"execute":"guest-ping"}'];
  await until(`${name}'s agent answers`, () =>
    host.virsh(...ping).then(
      () => true,
      () => false,
    ),
  );
  return machine;
}

/** Seconds from each freeze to its thaw, as the guest's clock counts (in steps of 10 ms). */
function frozen(machine: LibvirtMachine): number[] {
  const found: number[] = [];
  let began = 0;
  for (const line of machine.reports()) {
    const [, what, at] = /^HOOK (freeze|thaw) ([\d.]+)/.exec(line) ?? [];
    if (what === 'freeze') began = Number(at);
    else if (what === 'thaw') found.push(Number(at) - began);
  }
  return found;
}

async function oursOn(host: LibvirtHost, work: string, machine: LibvirtMachine): Promise<Ours> {
  let holdfast = await holdfastIn(join(work, 'ours'));
  await holdfast.runBare(
    ...['hypervisor', 'add', 'kvm1', host.uri, '--sockets', host.sockets, '--json'],
  );
  const backUp = async (): Promise<number> => {
    const words = ['--from', `kvm1/${machine.name}`, '--exclude', 'vdb'];
    return (await holdfast.run('backup', 'create', 'bench', ...words)).seconds;
  };
  return {
    ...{ machine, fulls: [], increments: [], increment: backUp },
    get holdfast() {
      return holdfast;
    },
    async full(round) {
      holdfast = await holdfastIn(join(work, `ours-${round}`));
      return backUp();
    },
    kept: () => bytesIn(holdfast.store),
  };
}

function theirsOn(host: LibvirtHost, work: string, machine: LibvirtMachine): Product {
  let place = '';
  const backUp = async (level: string): Promise<number> => {
    const words = ['-n', '-z', '-d', machine.name, '-l', level, '-x', 'vdb', '-o', place];
    return (await timed(host.command(PEER, ...words))).seconds;
  };
  return {
    ...{ machine, fulls: [], increments: [], increment: () => backUp('inc') },
    full(round) {
      place = join(work, `theirs-${round}`);
      mkdirSync(place);
      return backUp('full');
    },
    kept: () => bytesIn(place),
  };
}

function bytesIn(place: string): number {
  return Number(execFileSync('du', ['-s', '-k', place]).toString().split('\t')[0]) * 1024;
}

function report(ours: Product, theirs: Product): void {
  const compare = (
    name: string,
    of: (product: Product) => readonly number[],
    shown: (value: number) => string,
    aim?: string,
  ): void => {
    const [mine, other] = [median(of(ours)), median(of(theirs))];
    const options = { ratio: other / mine, ...(aim !== undefined && { aim }) };
    figure(name, shown(mine), `${PEER} ${shown(other)}`, options);
  };
  const mb = (bytes: number): string => `${(bytes / MB).toFixed(1)} MB`;
  const size = `${GUEST_DATA.bytes / MB} MB of 4 GiB`;
  compare(`full backup, ${size}`, ({ fulls }) => fulls.map((it) => it.seconds), seconds, '2x');
  compare(`full backup, ${size}, kept`, ({ fulls }) => fulls.map((it) => it.kept), mb, '2x');
  const change = `${GUEST_DATA.changeBytes / MB} MB changed`;
  const times = ({ increments }: Product) => increments.map((it) => it.seconds);
  compare(`increment, ${change}`, times, seconds, '2x');
  const kept = ({ increments }: Product) => increments.map((it) => it.kept);
  compare(`increment, ${change}, kept`, kept, mb, '2x');
  compare('frozen, as the guest counts', ({ machine }) => frozen(machine), seconds);
  against('frozen at most', Math.max(...frozen(ours.machine)), 0.3);
}

/** What an increment takes beyond a command that starts and reads what is known of hypervisors. */
async function reportStart({ holdfast, increments }: Ours): Promise<void> {
  const start = await medianOf(() => holdfast.runBare('hypervisor', 'list', '--json'));
  const whole = median(increments.map((it) => it.seconds));
  against('increment, without the start of the process', whole - start, 1);
}

/** Machines that are only defined: to list them, each is described. */
async function benchLists(host: LibvirtHost, holdfast: Holdfast): Promise<void> {
  const files: string[] = [];
  for (let n = 0; n < LISTED; n++) {
    const file = join(host.directory, `listed-${n}.xml`);
    writeFileSync(file, definitionOf(host.directory, { name: `listed-${n}`, disks: [] }));
    files.push(file);
  }
  await host.virsh(files.map((file) => `define ${file}`).join('; '));
  const list = ['hypervisor', 'machines', 'kvm1'];
  const took = await medianOf(() => holdfast.run(...list));
  const start = await medianOf(() => holdfast.runBare('hypervisor', 'list', '--json'));
  against(`${LISTED + 2} machines listed`, took, 1);
  against('... without the start of the process', took - start, 1);
}

async function medianOf(work: () => Promise<Run>): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < ROUNDS; n++) times.push((await work()).seconds);
  return median(times);
}

function against(name: string, value: number, limit: number): void {
  figure(name, seconds(value), `limit ${seconds(limit)}`, { ratio: limit / value, aim: '1x' });
}
