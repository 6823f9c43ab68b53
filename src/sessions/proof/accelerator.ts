import { join } from 'node:path/posix';
import type { Store } from '../../store/directory/store.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { asGuest, giveTo, type GuestUser } from '../../sys/process/guest-user.ts';
import { runTool } from '../../sys/process/tool.ts';
import { SessionError } from '../state/session-error.ts';

/*
 * Whether the processor runs guests here. That /dev/kvm is there does not say so: it may be for others only, or be
 * nested in a hypervisor that lets a guest begin and never come to its kernel. So a guest of 512 bytes is started.
 */

export interface Chosen {
  readonly accelerator: 'kvm' | 'tcg';
  /** Why the processor does not run guests. */
  readonly why?: string;
}

/** mov al, 0x31; mov dx, 0xf4; out dx, al; hlt: QEMU's debug exit ends with 2 x 0x31 + 1. */
const PROGRAM = [0xb0, 0x31, 0xba, 0xf4, 0x00, 0xee, 0xf4];
const EXIT_CODE = 99;
const SECTOR_LENGTH = 512;
/** It takes a tenth of a second; emulation is quicker than what takes so long. */
const LIMIT_MS = 2000;
const KVM = '/dev/kvm';

export interface AcceleratorOptions {
  /** For the disk of the guest that is tried. */
  readonly directory: string;
  readonly user: GuestUser | undefined;
  readonly signal: AbortSignal;
}

/** Rejects UNSUPPORTED if KVM was asked for and does not work. */
export async function chooseAccelerator(
  { files }: Store,
  asked: 'auto' | 'kvm' | 'tcg',
  { directory, user, signal }: AcceleratorOptions,
): Promise<Chosen> {
  if (asked === 'tcg') return { accelerator: 'tcg' };
  const why = (await files.stat(KVM)) ? await tried() : `this box has no ${KVM}`;
  if (why === undefined) return { accelerator: 'kvm' };
  if (asked === 'auto') return { accelerator: 'tcg', why };
  throw new SessionError('UNSUPPORTED', `${why}. To emulate the processor: --accel tcg`);

  async function tried(): Promise<string | undefined> {
    const sector = new Uint8Array(SECTOR_LENGTH);
    sector.set(PROGRAM);
    sector.set([0x55, 0xaa], SECTOR_LENGTH - 2);
    const path = join(directory, 'kvm-test');
    await putDurably(files, path, sector);
    if (user) giveTo(user, path);
    const { code, stopped, stderr } = await runTool(
      ...asGuest(user, 'qemu-system-x86_64', [
        ...['-nodefaults', '-no-user-config', '-display', 'none', '-machine', 'pc,accel=kvm'],
        ...['-m', '32', '-device', 'isa-debug-exit,iobase=0xf4,iosize=1'],
        ...['-drive', `if=ide,format=raw,file=${path.replaceAll(',', ',,')}`],
      ]),
      { timeoutMs: LIMIT_MS, signal },
    );
    signal.throwIfAborted();
    if (code === EXIT_CODE) return undefined;
    if (stopped === 'timeout') return `${KVM} is there, but no guest starts with it`;
    return `${KVM} cannot be used: ${stderr.trim().split('\n').at(-1)?.slice(0, 200) ?? ''}`;
  }
}
