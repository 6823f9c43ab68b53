import type { QemuVersion } from '../../formats/wire/qmp.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';

/** `block-export-add` with bitmaps (December 2020). */
const SINCE = { major: 5, minor: 2 };

/** Why backups cannot be made with it; undefined: they can. */
export function whyTooOld({ major, minor }: QemuVersion): string | undefined {
  if (major > SINCE.major || (major === SINCE.major && minor >= SINCE.minor)) return undefined;
  return `QEMU ${major}.${minor}: backups need QEMU ${SINCE.major}.${SINCE.minor}`;
}

/** Throws UNSUPPORTED. */
export function requireVersion(version: QemuVersion): void {
  const why = whyTooOld(version);
  if (why !== undefined) throw new HypervisorError('UNSUPPORTED', `${why}: upgrade it`);
}
