import type { Clock } from '../../sys/base/clock.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { beginFirstBoot } from './first-boot.ts';
import { HostError } from '../base/host-error.ts';
import type { Machine } from '../base/machine.ts';
import type { Network } from '../network/network.ts';
import { output } from '../base/programs.ts';
import { lockPassword, setHost, showHost } from '../settings/settings.ts';
import { allowShell, removeAllKeys, sshOff } from '../settings/ssh.ts';

/*
 * Resets the machine to its initial state: network, name, time, accounts and keys. Never the store, nor the disk that
 * holds it, nor the service's settings and passphrases, without which a store could not be found or read.
 */

const HOSTNAME = 'holdfast';
const TIMEZONE = 'Etc/UTC';

/** `confirm` is the machine's name. A part that cannot be reset does not stop the rest; returns the failures. */
export async function factoryReset(
  machine: Machine,
  { network, clock }: { readonly network: Network; readonly clock: Clock },
  confirm: string,
): Promise<{ readonly reset: readonly string[]; readonly failed: readonly string[] }> {
  const { hostname } = await showHost(machine);
  if (confirm !== hostname) {
    throw new HostError('REFUSED', `type the name of this host to confirm: ${hostname}`);
  }
  const { run } = machine;
  const steps: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['SSH', () => sshOff(machine)],
    ['SSH keys', () => removeAllKeys(machine)],
    ['shell', () => allowShell(machine, clock, 0)],
    ["administrator's password", () => lockPassword(machine)],
    ['time servers and time zone', () => setHost(machine, { ntp: [], timezone: TIMEZONE })],
    ['first boot', () => beginFirstBoot(machine)],
    ['name', () => output(run, 'hostnamectl', ['hostname', HOSTNAME])],
    // Last: it disconnects clients on other hosts.
    ['network', () => network.reset()],
  ];
  const reset: string[] = [];
  const failed: string[] = [];
  for (const [what, act] of steps) {
    try {
      await act();
      reset.push(what);
    } catch (cause) {
      if (!(cause instanceof HostError || cause instanceof SystemError)) throw cause;
      failed.push(`${what}: ${cause.message}`);
    }
  }
  return { reset, failed };
}
