import type { GuestFiles } from '../../../src/hypervisors/base/guest-files.ts';
import { HypervisorError } from '../../../src/hypervisors/base/hypervisor-error.ts';
import { NO_AGENT } from '../../../src/hypervisors/guest/agent.ts';
import { putFile } from '../../../src/hypervisors/guest/put-file.ts';
import type { Link } from './describe.ts';

/** As real ones do: each command of the agent is a call to the host. */
export function guestFiles(open: () => Link): GuestFiles {
  return {
    async put(id, file, options) {
      const { host, wire } = open();
      const machine = await wire.call('find', () => host.machines.get(id), options.signal);
      if (!machine) throw new HypervisorError('NOT_FOUND', `there is no machine ${id}`);
      const { guest } = machine;
      return putFile(
        {
          clock: guest.clock,
          ask: async (command, args, signal) =>
            wire.call(
              command,
              () => {
                if (machine.hasAgent && machine.power === 'on')
                  return guest.ask(command, args, signal);
                throw new HypervisorError('UNREACHABLE', `no guest agent answers: ${NO_AGENT}`);
              },
              signal,
            ),
        },
        file,
        options,
      );
    },
  };
}
