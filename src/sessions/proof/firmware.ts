import { join } from 'node:path/posix';
import type { Store } from '../../store/directory/store.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { giveTo, type GuestUser } from '../../sys/process/guest-user.ts';
import type { SessionMachine } from '../guest/session-machine.ts';
import { SessionError } from '../state/session-error.ts';
import type { ProofFirmware } from './proof-machine.ts';
import { type Font, fontIn } from './screen-text.ts';

/* The firmware of a machine on this box: OVMF as Debian's package "ovmf" has it, with the variables of the point. */

interface Build {
  /** Variables belong to a build with as many bytes for them. */
  readonly length: number;
  readonly code: string;
  readonly secureCode: string;
  readonly variables: string;
}

const DIRECTORY = '/usr/share/OVMF';
const BUILDS: readonly Build[] = [
  {
    length: 540_672,
    code: 'OVMF_CODE_4M.fd',
    secureCode: 'OVMF_CODE_4M.secboot.fd',
    variables: 'OVMF_VARS_4M.fd',
  },
  {
    length: 131_072,
    code: 'OVMF_CODE.fd',
    secureCode: 'OVMF_CODE.secboot.fd',
    variables: 'OVMF_VARS.fd',
  },
];
const VARIABLES_MAX = 1024 * 1024;

export interface FirmwareOptions {
  readonly kind: 'bios' | 'uefi';
  readonly machine: SessionMachine | undefined;
  /** For a copy of the variables, which the guest may change. */
  readonly directory: string;
  readonly user: GuestUser | undefined;
  readonly onWithout: (what: string) => void;
}

/** Rejects UNSUPPORTED if this box has no firmware for UEFI. */
export async function firmwareFor(
  { files }: Store,
  { kind, machine, directory, user, onWithout }: FirmwareOptions,
): Promise<ProofFirmware> {
  if (kind === 'bios') return { kind };
  const own = machine?.variables;
  const fitting = BUILDS.find(({ length }) => length === own?.length);
  if (own && !fitting) {
    onWithout(
      `the variables of its firmware: this box has no firmware with ${own.length} bytes of them`,
    );
  }
  const build = fitting ?? BUILDS[0]!;
  const described = machine?.machine?.firmware;
  const isSecure = described?.kind === 'uefi' && described.secureBoot;
  const code = join(DIRECTORY, isSecure ? build.secureCode : build.code);
  if (!(await files.stat(code))) {
    const what = `this box has no firmware for UEFI (${code}): apt-get install ovmf`;
    throw new SessionError('UNSUPPORTED', what);
  }
  const contents =
    fitting && own ? own : await files.readFile(join(DIRECTORY, build.variables), VARIABLES_MAX);
  const variables = join(directory, 'variables.fd');
  await putDurably(files, variables, contents);
  if (user) giveTo(user, variables);
  return { kind, code, variables, isSecure };
}

/** Debian's package "seabios", on which QEMU depends; other systems have it with QEMU. */
const VIDEO_ROMS = ['/usr/share/seabios', '/usr/share/qemu', '/usr/share/vgabios'].map((it) =>
  join(it, 'vgabios-stdvga.bin'),
);
const ROM_LENGTH_MAX = 1024 * 1024;

/** With which the guest's texts are drawn; undefined: this box does not have it. */
export async function screenFont({ files }: Store): Promise<Font | undefined> {
  for (const path of VIDEO_ROMS) {
    if (await files.stat(path)) return fontIn(await files.readFile(path, ROM_LENGTH_MAX));
  }
  return undefined;
}
