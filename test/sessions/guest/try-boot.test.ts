import { rejects } from 'node:assert/strict';
import { test } from 'tap';
import { tryBoot } from '../../../src/sessions/guest/try-boot.ts';
import { realWorld } from '../../../src/sys/world.ts';

test('a boot by UEFI on a box without its firmware is refused with the package that has it', async () => {
  const files = { ...realWorld().files, stat: async () => undefined };
  const { signal } = new AbortController();
  const options = { disks: [], memoryMiB: 64, accelerator: 'tcg', firmware: 'uefi' } as const;
  const message =
    /no firmware for UEFI \(\/usr\/share\/OVMF\/OVMF_CODE_4M\.fd\): apt-get install ovmf/;
  await rejects(tryBoot({ ...options, files, signal }), { code: 'UNSUPPORTED', message });
});
