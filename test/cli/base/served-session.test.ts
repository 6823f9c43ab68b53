import { deepEqual, rejects } from 'node:assert/strict';
import { test } from 'tap';
import type { Context } from '../../../src/cli/base/command.ts';
import { runServed } from '../../../src/cli/base/served-session.ts';

test('no second machine is booted on the disks of one that runs on a hypervisor', async () => {
  const asked: string[] = [];
  const call = async (name: string) => {
    asked.push(name);
    return { placed: { hypervisor: 'kvm1' } };
  };
  const context = { call } as unknown as Context;
  const what = { kind: 'resume', session: 'web1-3f9c2a' } as const;
  const request = { what, listen: undefined, tls: undefined, nfs: undefined };
  const boot = { memoryMiB: 1024, accelerator: 'tcg', firmware: 'bios' } as const;
  await rejects(runServed(request, boot, context), /machine on hypervisor kvm1, and no second one/);
  deepEqual(asked, ['session/show']);
});
