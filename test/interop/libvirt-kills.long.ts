import { ok } from 'node:assert/strict';
import { test } from 'tap';
import { libvirtMissing } from '../support/libvirt.ts';
import { killsAreSurvived } from './libvirt-kills.ts';

test('a backup that is killed at any call to libvirt leaves nothing that the next does not mend', {
  skip: libvirtMissing,
  timeout: 3_600_000,
}, async () => {
  ok((await killsAreSurvived()) > 20);
});
