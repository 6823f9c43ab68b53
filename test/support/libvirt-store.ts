import { equal } from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { checkDisks, type CheckedDisk, expectSound } from './checked-guest.ts';
import { type Ended, expectDone, runCli } from './cli.ts';
import type { LibvirtHost } from './libvirt.ts';

/** A store whose backups come from the machines of a real libvirt or of plain QEMU, by the command line. */
export interface LibvirtStore {
  /** A command, with `--json`. */
  holdfast(...words: readonly string[]): Promise<Ended>;
  /** Backs a machine up. `durable`: the guest's last record that must be in it. */
  backUp(machine: string, durable: number, ...words: readonly string[]): Promise<MadePoint>;
  /** Restores the disks of all recovery points made since the last call, and lets a guest look at all of them. */
  checkPoints(): Promise<readonly (readonly CheckedDisk[])[]>;
}

export interface MadePoint {
  readonly point: string;
  /** What was read of each disk: `all` or `changes`. */
  readonly scopes: Readonly<Record<string, string>>;
  /** And why. */
  readonly reasons: Readonly<Record<string, string>>;
  readonly consistency: { readonly asked: string; readonly got: string; readonly why?: string };
  /** All that was said while it was made. */
  readonly said: string;
}

/** As many one guest takes, each in a slot of its PCI bus, and finds in their order: 26 have names of one letter. */
const DISKS_MAX = 24;

interface Scope {
  readonly disk: string;
  readonly scope: string;
  readonly reason?: string;
}

/** `run`: of the command line; default: in this process, which sees this machine's files and not those of `host`. */
export async function libvirtStore(
  host: Pick<LibvirtHost, 'uri' | 'sockets'>,
  root: string,
  run: (words: readonly string[]) => Promise<Ended> = runCli,
): Promise<LibvirtStore> {
  process.env['XDG_CONFIG_HOME'] = join(root, 'config');
  const store = join(root, 'store');
  const holdfast: LibvirtStore['holdfast'] = (...words) =>
    run([...words, '--store', store, '--json']);
  await expectDone(holdfast('store', 'create', store));
  await expectDone(holdfast('set', 'create', 'nightly'));
  await expectDone(holdfast('hypervisor', 'add', 'kvm1', host.uri, '--sockets', host.sockets));
  let made: { readonly point: string; readonly disks: string[]; readonly durable: number }[] = [];
  return {
    holdfast,
    async backUp(machine, durable, ...words) {
      const taking = holdfast('backup', 'create', 'nightly', '--from', `kvm1/${machine}`, ...words);
      const { result, stdout, stderr } = await expectDone(taking);
      const [point] = result['points'] as readonly (MadePoint & { scopes: readonly Scope[] })[];
      const of = (value: (scope: Scope) => string) =>
        Object.fromEntries(point!.scopes.map((it) => [it.disk, value(it)]));
      const scopes = of(({ scope }) => scope);
      made.push({ point: point!.point, disks: Object.keys(scopes).sort(), durable });
      const { consistency } = point!;
      const reasons = of(({ reason = '' }) => reason);
      return { point: point!.point, scopes, reasons, consistency, said: stdout + stderr };
    },
    async checkPoints() {
      const files: { file: string; format: 'raw' }[] = [];
      for (const { point, disks } of made) {
        for (const disk of disks) {
          const file = join(root, `${point}-${disk}.raw`);
          await expectDone(holdfast('restore', 'disk', point, disk, '--to', file));
          files.push({ file, format: 'raw' });
        }
      }
      const checked: CheckedDisk[] = [];
      for (let at = 0; at < files.length; at += DISKS_MAX) {
        checked.push(...(await checkDisks(...files.slice(at, at + DISKS_MAX))));
      }
      for (const { file } of files) rmSync(file);
      equal(checked.length, files.length);
      const points = made.map(({ disks, durable }) => {
        const own = checked.splice(0, disks.length);
        expectSound(own, durable);
        return own;
      });
      made = [];
      return points;
    },
  };
}
