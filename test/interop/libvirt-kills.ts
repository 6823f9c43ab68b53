import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { type CliProcess, collectedFrom, expectDone, spawnCliIn } from '../support/cli.ts';
import { type LibvirtHost, libvirtHost } from '../support/libvirt.ts';
import type { LibvirtMachine } from '../support/libvirt-machine.ts';
import { namesIn } from '../support/libvirt-test-machine.ts';
import { libvirtStore } from '../support/libvirt-store.ts';
import { libvirtWire } from '../support/libvirt-wire.ts';
import { program } from '../support/programs.ts';
import { below, seeded } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// A process that backs up a machine of a real libvirt is killed (SIGKILL) at its calls to libvirt. The machine runs on,
// and the next backup ends and removes all that was left, and is true.

const MIB = 2 ** 20;
/** libvirt has answered by then, but for what takes longer: there the process dies in the middle of it. */
const ANSWER_MS = 400;
const DISKS = ['vda', 'vdb'];

interface Kill {
  /** Counted from 1. */
  readonly call: number;
  /** Whether libvirt carries the call out. */
  readonly when: 'before' | 'after';
}

/** `count`: of kills, by chance; undefined: at all calls, before and after. */
export async function killsAreSurvived(count?: number): Promise<number> {
  await using host = await libvirtHost();
  const root = temporaryDirectory();
  const store = await libvirtStore(host, root);
  const disks = await Promise.all(
    DISKS.map(async (target) => ({
      target,
      path: await host.disk(`${target}.qcow2`, { size: 32 * MIB }),
    })),
  );
  const web1 = await host.define({ name: 'web1', disks });
  await web1.start();
  const files = new Set(readdirSync(host.directory));
  await store.backUp('web1', await web1.durable(2));

  await using wire = libvirtWire(host);
  let onCall: (name: string) => Promise<'cut-before' | undefined> = async () => undefined;
  const socket = await wire.socket((name) => onCall(name));
  const uri = `qemu+unix:///system?socket=${socket}`;
  await expectDone(store.holdfast('hypervisor', 'add', 'kvm2', uri, '--sockets', host.sockets));
  const words = ['backup', 'create', 'nightly', '--from', 'kvm2/web1'];
  const start = () => spawnCliIn([], [...words, '--store', join(root, 'store'), '--json']);

  const calls: string[] = [];
  onCall = async (name) => void calls.push(name);
  await expectDone(collectedFrom(start()));
  ok(calls.length > 10, calls.join());

  const kills = count === undefined ? allOf(calls.length) : chosen(calls.length, count);
  for (const kill of kills) {
    const what = `killed ${kill.when} call ${kill.call} (${calls[kill.call - 1]})`;
    try {
      const child = start();
      let counted = 0;
      onCall = async () => (++counted === kill.call ? killAt(child, kill) : undefined);
      const { code, stderr } = await collectedFrom(child);
      // How often it asks whether the job has ended differs: it may have made fewer calls.
      equal(code, counted < kill.call ? 0 : null, stderr);
      onCall = async () => undefined;
      equal(await web1.state(), 'running');
      // The guest may be frozen until the next backup: it writes nothing then.
      await store.backUp('web1', 0);
      await expectTidy(host, web1, files);
    } catch (cause) {
      throw new Error(what, { cause });
    }
  }
  for (const checked of await store.checkPoints()) ok(checked.every(({ bad }) => bad === 0));
  const last = await web1.rest();
  await web1.shutDown();
  const { point, scopes } = await store.backUp('web1', last);
  deepEqual(scopes, { vda: 'changes', vdb: 'changes' });
  for (const { target, path } of disks) {
    const copy = join(root, `${target}.raw`);
    await expectDone(store.holdfast('restore', 'disk', point, target, '--to', copy));
    await program('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', copy, path);
    await program('qemu-img', 'check', '-q', path);
  }
  return kills.length;
}

const allOf = (calls: number): readonly Kill[] =>
  Array.from({ length: calls }, (_, at) => at + 1).flatMap((call) => [
    { call, when: 'before' as const },
    { call, when: 'after' as const },
  ]);

function chosen(calls: number, count: number): readonly Kill[] {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6));
  const random = seeded(seed);
  const all = allOf(calls);
  return Array.from({ length: count }, () => all[below(random, all.length)]!);
}

async function killAt(child: CliProcess, { when }: Kill): Promise<'cut-before' | undefined> {
  if (when === 'before') {
    child.kill('SIGKILL');
    await once(child, 'exit');
    return 'cut-before';
  }
  // It does not see the answer.
  child.kill('SIGSTOP');
  void sleep(ANSWER_MS).then(() => child.kill('SIGKILL'));
  return undefined;
}

/** One checkpoint with its bitmap, nothing else of ours, and a guest that writes. */
async function expectTidy(
  host: LibvirtHost,
  machine: LibvirtMachine,
  files: ReadonlySet<string>,
): Promise<void> {
  await rejects(host.virsh('backup-dumpxml', machine.name));
  const checkpoints = (await host.virsh('checkpoint-list', machine.name, '--name'))
    .split('\n')
    .filter(Boolean);
  equal(checkpoints.length, 1, checkpoints.join());
  match(checkpoints[0]!, /^holdfast-/);
  const nodes = await host.virsh(
    ...['qemu-monitor-command', machine.name, '{"execute":"query-named-block-nodes"}'],
  );
  deepEqual([...new Set(namesIn(nodes))], checkpoints, 'bitmaps');
  const left = readdirSync(host.directory).filter((it) => !files.has(it) && /scratch/.test(it));
  deepEqual([...left, ...readdirSync(host.sockets)], []);
  match(
    await host.virsh('qemu-agent-command', machine.name, '{"execute":"guest-fsfreeze-status"}'),
    /thawed/,
  );
  await machine.durable(1);
}
