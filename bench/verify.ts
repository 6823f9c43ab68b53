import { bootTo } from './boot.ts';
import type { Dataset } from './dataset.ts';
import { figure, seconds, section, skipped } from './figures.ts';
import type { Holdfast } from './holdfast.ts';
import { dropCaches, isInstalled, median } from './measure.ts';

const ROUNDS = 3;

interface Shown {
  readonly proof: {
    readonly verdict: string;
    readonly preparedMs: number;
    readonly bootMs: number;
    readonly totalMs: number;
  };
}

/** What a proof costs: the whole of it, against a boot of the file itself to its login, both under emulation. */
export async function benchVerify(data: Dataset, holdfast: Holdfast): Promise<void> {
  section('Proof of recovery against a plain boot to login, page cache dropped');
  if (!isInstalled('qemu-system-x86_64')) return skipped('verify', 'QEMU is not installed');
  const { first } = data;
  await holdfast.run('backup', 'create', 'bench', '--machine', 'proof', '--disk', `vda=${first}`);
  const [command, prepared, boot, total, plain]: number[][] = [[], [], [], [], []];
  for (let round = 0; round < ROUNDS; round++) {
    dropCaches();
    plain!.push(await bootTo(`-drive file=${first},format=raw,if=virtio,snapshot=on`));
    dropCaches();
    const ran = await holdfast.run('verify', 'proof@latest', '--accel', 'tcg', '--memory', '1024');
    command!.push(ran.seconds);
    const shown = holdfast.ask('verify', 'show', 'proof@latest') as Shown;
    prepared!.push(shown.proof.preparedMs / 1000);
    boot!.push(shown.proof.bootMs / 1000);
    total!.push(shown.proof.totalMs / 1000);
  }
  const peer = median(plain!);
  for (const [name, times, aim] of [
    ['before the guest is started', prepared!, undefined],
    ['from its start until it is up', boot!, undefined],
    ['the proof', total!, '0.83x'],
    ['the whole command', command!, '0.83x'],
  ] as const) {
    const ours = median(times);
    const more = aim === undefined ? {} : { ratio: peer / ours, aim };
    figure(name, seconds(ours), `plain boot ${seconds(peer)}`, more);
  }
}
