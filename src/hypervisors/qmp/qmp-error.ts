import type { QmpFailure } from '../../formats/wire/qmp.ts';
import { HypervisorError, type HypervisorErrorCode } from '../base/hypervisor-error.ts';

/** QEMU, or the agent in a guest, refused a command. */
export class QmpError extends HypervisorError {
  constructor({ class: name, text }: QmpFailure, { who, command }: Refused) {
    const words = text.trim() || 'no reason was given';
    super(codeOf(name, words), `${who}: ${words}`, { native: `${command}: ${name}: ${words}` });
  }
}

interface Refused {
  /** "QEMU", "the guest agent". */
  readonly who: string;
  readonly command: string;
}

const CODES: Readonly<Record<string, HypervisorErrorCode>> = {
  CommandNotFound: 'UNSUPPORTED',
  DeviceNotFound: 'NOT_FOUND',
};

/** Nearly all is of one class. The ends of texts are the C library's; QEMU does not translate them. */
function codeOf(name: string, words: string): HypervisorErrorCode {
  if (/permission denied|not permitted/i.test(words)) return 'DENIED';
  if (/no space left/i.test(words)) return 'NO_SPACE';
  return CODES[name] ?? 'FAILED';
}
