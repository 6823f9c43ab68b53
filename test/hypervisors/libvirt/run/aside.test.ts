import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { LIBVIRT_CALLS, LIBVIRT_FLAGS } from '../../../../src/formats/wire/libvirt-calls.ts';
import { writeXml } from '../../../../src/hypervisors/base/xml.ts';
import type { LibvirtHost } from '../../../../src/hypervisors/libvirt/libvirt-host.ts';
import { removeAside } from '../../../../src/hypervisors/libvirt/run/aside.ts';
import { markElement } from '../../../../src/hypervisors/libvirt/run/mark.ts';

const { signal } = new AbortController();
const session = 'web1-1';
const domain = { name: `web1-replaced-${session}`, uuid: 'uuid', id: -1 };

/** One that is off and set aside. Returns the flags with which it was undefined. */
async function removed(devices: string, version: number): Promise<readonly number[]> {
  const flags: number[] = [];
  const mark = writeXml(
    markElement({ kind: 'aside', session, name: 'web1', autostart: false, checkpoints: [] }),
  );
  const xml =
    `<domain type="kvm"><name>${domain.name}</name><uuid>uuid</uuid><metadata>${mark}</metadata>` +
    `<devices>${devices}</devices></domain>`;
  const answers = new Map<unknown, (args: { readonly flags: number }) => unknown>([
    [LIBVIRT_CALLS.domainByUuid, () => domain],
    [LIBVIRT_CALLS.domainXml, () => xml],
    [LIBVIRT_CALLS.domainState, () => ({ state: 'off', reason: 0 })],
    [LIBVIRT_CALLS.libVersion, () => version],
    [LIBVIRT_CALLS.undefineDomain, (args) => void flags.push(args.flags)],
  ]);
  const link = { call: async (call: unknown, args: { flags: number }) => answers.get(call)!(args) };
  const host = { link, name: 'kvm1' } as unknown as LibvirtHost;
  await removeAside(host, { id: 'uuid', session, signal });
  return flags;
}

test('the state of the TPM of a machine that is removed stays, or the machine does', async () => {
  const { keepTpm } = LIBVIRT_FLAGS.undefineDomain;
  const tpm = '<tpm model="tpm-crb"><backend type="emulator" version="2.0"/></tpm>';
  const kept = async (devices: string, version: number) =>
    (await removed(devices, version)).map((flags) => (flags & keepTpm) !== 0);
  deepEqual(await kept(tpm, 9_000_000), [true]);
  deepEqual(await kept('', 9_000_000), [false]);
  deepEqual(await kept('', 7_002_000), [false]);
  await rejects(removed(tpm, 7_002_000), { code: 'CONFLICT', message: /has a TPM/ });
  equal(keepTpm, 64);
});
