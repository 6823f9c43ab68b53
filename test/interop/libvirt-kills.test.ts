import { equal } from 'node:assert/strict';
import { test } from 'tap';
import { libvirtMissing } from '../support/libvirt.ts';
import { killsAreSurvived } from './libvirt-kills.ts';

test('a backup that is killed at some calls to libvirt leaves nothing that the next does not mend', {
  skip: libvirtMissing,
  timeout: 240_000,
}, async () => {
  equal(await killsAreSurvived(3), 3);
});
