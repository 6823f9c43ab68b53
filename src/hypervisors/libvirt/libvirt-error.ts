import { LIBVIRT_ERRORS, type LibvirtFailure } from '../../formats/wire/libvirt.ts';
import { HypervisorError, type HypervisorErrorCode } from '../base/hypervisor-error.ts';

/** libvirt refused a call. */
export class LibvirtError extends HypervisorError {
  /** By which it is known, whatever its words: see `LIBVIRT_ERRORS`. */
  readonly number: number;
  constructor({ code, domain, message }: LibvirtFailure, procedure: string) {
    const words = message.trim() || 'no reason was given';
    const kind = CODES[code] ?? 'FAILED';
    super(kind, `libvirt: ${words}${kind === 'DENIED' ? DENIED : ''}`, {
      native: `${procedure}: libvirt error ${code} in part ${domain}: ${words}`,
    });
    this.number = code;
  }
}

const DENIED =
  '. The account needs the group "libvirt", or a rule of polkit there that permits it org.libvirt.unix.manage: see ' +
  'the steps that "holdfast hypervisor show" prints';

const CODES: Readonly<Record<number, HypervisorErrorCode>> = {
  [LIBVIRT_ERRORS.noSupport]: 'UNSUPPORTED',
  [LIBVIRT_ERRORS.operationDenied]: 'DENIED',
  [LIBVIRT_ERRORS.noDomain]: 'NOT_FOUND',
  [LIBVIRT_ERRORS.authFailed]: 'DENIED',
  [LIBVIRT_ERRORS.noPool]: 'NOT_FOUND',
  [LIBVIRT_ERRORS.noVolume]: 'NOT_FOUND',
  [LIBVIRT_ERRORS.configUnsupported]: 'UNSUPPORTED',
  [LIBVIRT_ERRORS.operationTimeout]: 'BUSY',
  [LIBVIRT_ERRORS.noSnapshot]: 'NOT_FOUND',
  [LIBVIRT_ERRORS.argumentUnsupported]: 'UNSUPPORTED',
  [LIBVIRT_ERRORS.authCancelled]: 'DENIED',
  [LIBVIRT_ERRORS.noMetadata]: 'NOT_FOUND',
  [LIBVIRT_ERRORS.blockCopyActive]: 'BUSY',
  [LIBVIRT_ERRORS.operationUnsupported]: 'UNSUPPORTED',
  [LIBVIRT_ERRORS.resourceBusy]: 'BUSY',
  [LIBVIRT_ERRORS.accessDenied]: 'DENIED',
  // Polkit has no agent that asks for a password: Debian's usual answer to an account without the group.
  [LIBVIRT_ERRORS.authUnavailable]: 'DENIED',
  [LIBVIRT_ERRORS.noCheckpoint]: 'NOT_FOUND',
  [LIBVIRT_ERRORS.noBackup]: 'NOT_FOUND',
  [LIBVIRT_ERRORS.checkpointInconsistent]: 'LOST',
};

/** Whether libvirt refused a call with one of these numbers. */
export function isNumber(error: unknown, ...numbers: readonly number[]): error is LibvirtError {
  return error instanceof LibvirtError && numbers.includes(error.number);
}
