import { FormatError } from '../../formats/format-error.ts';
import { LIBVIRT_ERRORS, type LibvirtDomain } from '../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS } from '../../formats/wire/libvirt-calls.ts';
import { decodeQmpMessage } from '../../formats/wire/qmp.ts';
import { utf8 } from '../../lib/bytes.ts';
import type { GuestFiles } from '../base/guest-files.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { type GuestAgent, NO_AGENT, readGuest } from '../guest/agent.ts';
import { putFile } from '../guest/put-file.ts';
import { isNumber } from './libvirt-error.ts';
import type { LibvirtHost } from './libvirt-host.ts';
import { machineById } from './machines.ts';

/** An agent that runs answers within a fraction of a second; one on a busy host gets its time. */
const ANSWER_SECONDS = 30;

export function libvirtGuests(host: LibvirtHost): GuestFiles {
  return {
    async put(id, file, options) {
      const domain = await machineById(host, id, options.signal);
      return putFile(agentOf(host, domain), file, options);
    },
  };
}

/** The agent in a guest, which libvirt itself talks to: it passes on whole commands. */
function agentOf({ link, clock }: LibvirtHost, domain: LibvirtDomain): GuestAgent {
  return {
    clock,
    async ask(execute, args, signal) {
      const command = JSON.stringify({ execute, arguments: args });
      const asked = { domain, command, timeoutSeconds: ANSWER_SECONDS, flags: 0 };
      const options = { timeoutMs: 2 * ANSWER_SECONDS * 1000 };
      try {
        const text = await link.call(LIBVIRT_CALLS.agentCommand, asked, signal, options);
        return readGuest(valueIn, utf8(text ?? ''));
      } catch (cause) {
        if (!isNumber(cause, ...AWAY)) throw cause;
        const message = `no guest agent answers in ${domain.name}: ${cause.message}. If it runs: ${NO_AGENT}`;
        throw new HypervisorError('UNREACHABLE', message, { cause, native: cause.native });
      }
    },
  };
}

/** It is silent; the machine does not run; it has no channel. */
const AWAY = [
  LIBVIRT_ERRORS.agentUnresponsive,
  LIBVIRT_ERRORS.operationInvalid,
  LIBVIRT_ERRORS.argumentUnsupported,
];

/** Throws FormatError. */
function valueIn(answer: Uint8Array): unknown {
  const message = decodeQmpMessage(answer);
  if (message.kind === 'reply') return message.value;
  throw new FormatError('CORRUPT', `a message "${message.kind}"`);
}
