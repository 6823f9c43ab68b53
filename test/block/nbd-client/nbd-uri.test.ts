import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import { nbdUri, parseNbdUri } from '../../../src/block/nbd-client/nbd-uri.ts';
import type { PeerAddress } from '../../../src/sys/net/network.ts';

test('an address is found again in its URI, whatever its path has in it', async () => {
  for (const address of [
    { kind: 'unix', path: '/run/holdfast-nbd/vm-000000.sock' },
    { kind: 'unix', path: '/srv/back ups/a+b&c=d%20#é?/nbd.sock' },
    { kind: 'tcp', host: '192.0.2.1', port: 10_809 },
    { kind: 'tcp', host: '2001:db8::1', port: 1 },
  ] satisfies PeerAddress[]) {
    for (const name of ['vda', 'vm-000000/vda', 'a b?#%']) {
      deepEqual(parseNbdUri(nbdUri(address, name, false)), { address, name });
    }
  }
  const shown = nbdUri({ kind: 'unix', path: '/run/x.sock' }, 'vda', true);
  equal(shown, 'nbds+unix:///vda?socket=/run/x.sock', 'readable where it can be');
});
