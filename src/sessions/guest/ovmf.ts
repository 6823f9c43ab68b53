import { join } from 'node:path/posix';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { SessionError } from '../state/session-error.ts';

/* The firmware for UEFI on this box: OVMF as Debian's package "ovmf" has it. */

export interface OvmfBuild {
  /** Variables belong to a build with as many bytes for them. */
  readonly length: number;
  readonly code: string;
  readonly secureCode: string;
  readonly variables: string;
}

const DIRECTORY = '/usr/share/OVMF';

/** The default first. */
export const OVMF_BUILDS: readonly [OvmfBuild, ...OvmfBuild[]] = [
  {
    length: 540_672,
    code: join(DIRECTORY, 'OVMF_CODE_4M.fd'),
    secureCode: join(DIRECTORY, 'OVMF_CODE_4M.secboot.fd'),
    variables: join(DIRECTORY, 'OVMF_VARS_4M.fd'),
  },
  {
    length: 131_072,
    code: join(DIRECTORY, 'OVMF_CODE.fd'),
    secureCode: join(DIRECTORY, 'OVMF_CODE.secboot.fd'),
    variables: join(DIRECTORY, 'OVMF_VARS.fd'),
  },
];

/** Rejects UNSUPPORTED if this box does not have it. */
export async function checkOvmf(files: FileSystem, code: string): Promise<void> {
  if (await files.stat(code)) return;
  const what = `this box has no firmware for UEFI (${code}): apt-get install ovmf`;
  throw new SessionError('UNSUPPORTED', what);
}
