import { LIBVIRT_CALLS } from '../../../formats/wire/libvirt-calls.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import type { PlacedMachine } from '../../base/run-driver.ts';
import type { LibvirtHost } from '../libvirt-host.ts';
import { seenOurs } from './placed.ts';

/**
 * QEMU connects to a server that is back beside the request that asks for it, which fails until that has succeeded; and
 * after a server has been away, only every 16 seconds (nbd/client-connection.c).
 */
const RESUMES = 60;
const RESUME_PAUSE_MS = 500;

export async function start(
  host: LibvirtHost,
  placed: PlacedMachine,
  signal: AbortSignal,
): Promise<void> {
  const { link, clock } = host;
  for (let tries = 0; ; tries++) {
    const { domain, power } = await seenOurs(host, placed, signal);
    if (power === 'on' || power === 'suspended') return;
    if (power === 'off') {
      await link.call(LIBVIRT_CALLS.createDomain, { domain, flags: 0 }, signal);
      return;
    }
    if (power === 'paused-space' && tries > 0) {
      const message = `the machine ${domain.name} is paused: a disk of it on the hypervisor has no space left`;
      throw new HypervisorError('NO_SPACE', `${message}. Make space there`);
    }
    if (tries === RESUMES) {
      const message = `the machine ${domain.name} stops again each time it is resumed: a disk of it does not answer`;
      throw new HypervisorError('FAILED', message);
    }
    await link.call(LIBVIRT_CALLS.resumeDomain, { domain }, signal);
    await clock.sleep(RESUME_PAUSE_MS, signal);
  }
}

export async function stop(
  host: LibvirtHost,
  placed: PlacedMachine,
  { how, signal }: { readonly how: 'shutdown' | 'off'; readonly signal: AbortSignal },
): Promise<void> {
  const { domain, power } = await seenOurs(host, placed, signal);
  if (power === 'off') return;
  if (how === 'off')
    await host.link.call(LIBVIRT_CALLS.destroyDomain, { domain, flags: 0 }, signal);
  else await host.link.call(LIBVIRT_CALLS.shutDownDomain, { domain }, signal);
}
