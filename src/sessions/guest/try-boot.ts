import type { FileSystem } from '../../sys/files/file-system.ts';
import { start } from '../../sys/process/run.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { type AttachedDisk, qemuArguments } from './guest-config.ts';
import { checkOvmf, OVMF_BUILDS } from './ovmf.ts';
import { SessionError } from '../state/session-error.ts';

export interface TryBootOptions {
  readonly disks: readonly AttachedDisk[];
  readonly memoryMiB: number;
  readonly accelerator: Accelerator;
  readonly firmware: Firmware;
  readonly files: FileSystem;
  /** Ends the guest. */
  readonly signal: AbortSignal;
}

export const ACCELERATORS = ['tcg', 'kvm'] as const;
export type Accelerator = (typeof ACCELERATORS)[number];
export const FIRMWARES = ['bios', 'uefi'] as const;
export type Firmware = (typeof FIRMWARES)[number];

/**
 * Boots the disks in this terminal, on a serial console and without a network: a recovered machine must not meet its
 * original. Resolves when the guest is off.
 */
export async function tryBoot(options: TryBootOptions): Promise<void> {
  const { disks, memoryMiB, accelerator, firmware, files } = options;
  const [{ code: uefi }] = OVMF_BUILDS;
  if (firmware === 'uefi') await checkOvmf(files, uefi);
  const args = [
    ...['-name', 'holdfast', '-machine', `pc,accel=${accelerator}`, '-m', String(memoryMiB)],
    ...['-cpu', accelerator === 'kvm' ? 'host' : 'max', '-smp', '2'],
    ...['-nographic', '-no-reboot', '-nodefaults', '-serial', 'mon:stdio', '-nic', 'none'],
    ...(firmware === 'uefi' ? ['-drive', `if=pflash,format=raw,readonly=on,file=${uefi}`] : []),
    ...qemuArguments(disks),
  ];
  try {
    await using qemu = await start('qemu-system-x86_64', args, { output: 'inherit' });
    options.signal.addEventListener('abort', () => qemu.kill('SIGTERM'), { once: true });
    const { code, signal } = await qemu.exited;
    if (code !== 0 && signal === undefined) {
      throw new SystemError('FAILED', `qemu-system-x86_64 ended with exit code ${code}`);
    }
  } catch (cause) {
    if (!(cause instanceof SystemError) || cause.code !== 'NOT_FOUND') throw cause;
    throw new SessionError('UNSUPPORTED', '--boot needs QEMU: apt-get install qemu-system-x86', {
      cause,
    });
  }
}
