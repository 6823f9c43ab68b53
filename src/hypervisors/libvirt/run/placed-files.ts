import { basename, dirname } from 'node:path/posix';
import { LIBVIRT_ERRORS } from '../../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS, LIBVIRT_FLAGS } from '../../../formats/wire/libvirt-calls.ts';
import type { MachinePlan, PlacedMachine } from '../../base/run-driver.ts';
import { element, writeXml } from '../../base/xml.ts';
import { tpmStatePath } from '../../base/swtpm.ts';
import { isNumber } from '../libvirt-error.ts';
import type { LibvirtHost } from '../libvirt-host.ts';
import { volumeIn } from './places.ts';

/*
 * Files that a machine needs on the host: the variables of its firmware and the state of its TPM. libvirt writes them,
 * wherever it is, as volumes of a pool that lasts for that moment. The first has the session in its name, so that it is
 * never that of the machine whose place the new one takes; the second has its place by the machine's UUID.
 */

const VARIABLES = '/var/lib/libvirt/qemu/nvram';

export function variablesPath(session: string): string {
  return `${VARIABLES}/holdfast-${session}_VARS.fd`;
}

/** Replaces what an earlier attempt has left: no machine uses it yet. */
export async function placeFiles(
  host: LibvirtHost,
  plan: MachinePlan,
  signal: AbortSignal,
): Promise<void> {
  const { firmware, tpm } = plan.machine;
  for (const { kind, bytes } of plan.files) {
    if (kind === 'firmware-vars' && firmware.kind === 'uefi') {
      await placeFile(host, variablesPath(plan.session), { bytes, machine: plan.uuid, signal });
    }
    if (kind === 'tpm-state' && tpm) {
      await placeFile(host, tpmStatePath(plan.uuid, tpm.version), {
        ...{ bytes, machine: plan.uuid, signal },
      });
    }
  }
}

interface Placing {
  readonly bytes: Uint8Array;
  readonly machine: string;
  readonly signal: AbortSignal;
}

async function placeFile(
  host: LibvirtHost,
  path: string,
  { bytes, machine, signal }: Placing,
): Promise<void> {
  const { link, withPool } = host;
  const directory = dirname(path);
  const name = basename(path);
  await makeDirectory(host, directory, { machine, signal });
  await withPool({ directory, machine, signal }, async (pool) => {
    const left = await volumeIn(host, pool, { name, signal });
    if (left) await link.call(LIBVIRT_CALLS.deleteVolume, { volume: left, flags: 0 }, signal);
    const xml = writeXml(
      element(
        'volume',
        {},
        element('name', {}, name),
        element('capacity', { unit: 'bytes' }, String(bytes.length)),
        element('target', {}, element('format', { type: 'raw' })),
      ),
    );
    const volume = await link.call(LIBVIRT_CALLS.createVolume, { pool, xml, flags: 0 }, signal);
    const whole = { volume, offset: 0, length: bytes.length, flags: 0 };
    await link.upload(LIBVIRT_CALLS.uploadVolume, whole, { bytes, signal });
  });
}

/** A pool that is built makes its directory, with those above it. */
async function makeDirectory(
  { link, owner }: LibvirtHost,
  directory: string,
  { machine, signal }: { readonly machine: string; readonly signal: AbortSignal },
): Promise<void> {
  const xml = writeXml(
    element(
      'pool',
      { type: 'dir' },
      element('name', {}, `holdfast-${owner}-make-${machine}`),
      element('target', {}, element('path', {}, directory)),
    ),
  );
  try {
    const flags = LIBVIRT_FLAGS.createPool.build;
    const pool = await link.call(LIBVIRT_CALLS.createPool, { xml, flags }, signal);
    await link.call(LIBVIRT_CALLS.destroyPool, { pool }, signal);
  } catch (cause) {
    // There is a pool for it already, and so it is there.
    if (!isNumber(cause, LIBVIRT_ERRORS.operationFailed)) throw cause;
  }
}

/**
 * Removes those of a machine that was never defined, or no longer is. The directories of a TPM go too: libvirt takes
 * one that is there for a TPM that was prepared.
 */
export async function removeFiles(
  host: LibvirtHost,
  { id, session }: PlacedMachine,
  signal: AbortSignal,
): Promise<void> {
  const states = [tpmStatePath(id, '1.2'), tpmStatePath(id, '2.0')];
  const directories = states.map((it) => dirname(it));
  for (const path of [
    variablesPath(session),
    ...states,
    ...directories,
    dirname(directories[0]!),
  ]) {
    try {
      await removeFile(host, path, { machine: id, signal });
    } catch (cause) {
      // The directory that it would be in is not there.
      if (!isNumber(cause, LIBVIRT_ERRORS.systemError)) throw cause;
    }
  }
}

async function removeFile(
  host: LibvirtHost,
  path: string,
  { machine, signal }: { readonly machine: string; readonly signal: AbortSignal },
): Promise<void> {
  await host.withPool({ directory: dirname(path), machine, signal }, async (pool) => {
    const volume = await volumeIn(host, pool, { name: basename(path), signal });
    if (volume) await host.link.call(LIBVIRT_CALLS.deleteVolume, { volume, flags: 0 }, signal);
  });
}
