import { join } from 'node:path/posix';
import type { Store } from '../../store/directory/store.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { giveTo, type GuestUser } from '../../sys/process/guest-user.ts';
import { checkOvmf, OVMF_BUILDS } from '../guest/ovmf.ts';
import type { SessionMachine } from '../guest/session-machine.ts';
import type { ProofFirmware } from './proof-machine.ts';
import { type Font, fontIn } from './screen-text.ts';

/* The firmware of a machine on this box: for UEFI, OVMF with the variables of the point. */

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
  const fitting = OVMF_BUILDS.find(({ length }) => length === own?.length);
  if (own && !fitting) {
    onWithout(
      `the variables of its firmware: this box has no firmware with ${own.length} bytes of them`,
    );
  }
  const build = fitting ?? OVMF_BUILDS[0];
  const described = machine?.machine?.firmware;
  const isSecure = described?.kind === 'uefi' && described.secureBoot;
  const code = isSecure ? build.secureCode : build.code;
  await checkOvmf(files, code);
  const contents = fitting && own ? own : await files.readFile(build.variables, VARIABLES_MAX);
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
