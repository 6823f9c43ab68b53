import { equal } from 'node:assert/strict';
import { test } from 'tap';
import { secretsAmong } from '../../../src/engine/secrets/secret-files.ts';

test('passwords, keys of hosts and credentials are secrets whatever the settings name', async () => {
  const isSecret = await secretsAmong([]);
  const secrets = [
    ...['/etc/shadow', '/etc/shadow-', '/etc/gshadow', '/etc/ssh/ssh_host_ed25519_key'],
    ...['/etc/credstore/x', '/run/credentials/holdfast.service/key', '/etc/credstore.encrypted/x'],
    ...['/run/credstore/x', '/usr/lib/credstore/x'],
  ];
  for (const path of secrets) equal(isSecret(path), true, path);
  for (const path of ['/etc/sshd', '/srv/etc/shadow', '/etc/hosts', '/srv/vda.raw', '/etc/ssh']) {
    equal(isSecret(path), false, path);
  }
});
