import type { GuestFiles } from '../base/guest-files.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import type { GuestAgent } from '../guest/agent.ts';
import { putFile } from '../guest/put-file.ts';
import { type Agent, agentRemedy, openAgent } from './agent.ts';
import { openMachine } from './machines.ts';
import type { QmpHost } from './qmp-host.ts';

const ANSWER_MS = 30_000;

export function qmpGuests(host: QmpHost, open: () => Promise<void>): GuestFiles {
  return {
    async put(id, file, options) {
      await open();
      const name = await nameOf(host, id, options.signal);
      await using agent = await agentIn(host, name, options.signal);
      return await putFile(asked(host, agent), file, options);
    },
  };
}

async function nameOf(host: QmpHost, id: string, signal: AbortSignal): Promise<string> {
  await using machine = await openMachine(host, id, signal);
  return machine.name;
}

async function agentIn(host: QmpHost, name: string, signal: AbortSignal): Promise<Agent> {
  try {
    return await openAgent(host, name, signal);
  } catch (cause) {
    if (!(cause instanceof HypervisorError) || cause.code !== 'UNREACHABLE') throw cause;
    const message = `${cause.message}: ${await agentRemedy(host, name)}`;
    throw new HypervisorError('UNREACHABLE', message, { cause });
  }
}

function asked({ clock }: QmpHost, agent: Agent): GuestAgent {
  return {
    clock,
    ask: (name, args, signal) =>
      agent.call({ name, read: (answer) => answer }, args, { timeoutMs: ANSWER_MS, signal }),
  };
}
