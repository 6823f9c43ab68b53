import { test } from 'tap';
import { libvirtMissing } from '../support/libvirt.ts';
import { without } from '../support/programs.ts';
import { firmwareRecovers } from './libvirt-firmware.ts';

test(
  'a machine with UEFI without Secure Boot and a TPM is recovered with what its guest put there',
  {
    skip: libvirtMissing || without('swtpm'),
    timeout: 300_000,
  },
  (t) => firmwareRecovers(t, true),
);
