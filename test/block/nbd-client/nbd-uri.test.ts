import { deepEqual, equal, throws } from 'node:assert/strict';
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

test('a URI says how TLS proves which server is meant', async () => {
  const none = {
    ...{ certificates: undefined, pskFile: undefined, identity: undefined },
    ...{ fingerprint: undefined, hostname: undefined },
  };
  const unix = { kind: 'unix', path: '/x' } as const;
  const cases: readonly (readonly [string, object])[] = [
    ['nbd://h/e', { name: 'e', address: { kind: 'tcp', host: 'h', port: 10_809 } }],
    [
      'nbds://[::1]:9/e?tls-certificates=/a%20b',
      {
        ...{ name: 'e', address: { kind: 'tcp', host: '::1', port: 9 } },
        tls: { ...none, certificates: '/a b', hostname: '::1' },
      },
    ],
    [
      `nbds+unix:///?socket=/x&tls-fingerprint=${'aB'.repeat(32)}&tls-hostname=h`,
      { name: '', address: unix, tls: { ...none, fingerprint: 'aB'.repeat(32), hostname: 'h' } },
    ],
    [
      'nbds+unix://al%69ce@/e?socket=/x&tls-psk-file=/k',
      { name: 'e', address: unix, tls: { ...none, identity: 'alice', pskFile: '/k' } },
    ],
  ];
  for (const [uri, place] of cases) deepEqual(parseNbdUri(uri), place, uri);
});

test('a URI that means something else than it says is refused', async () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['nbd://h/e?tls-certificates=/d', /TLS begins with nbds:/],
    ['nbds://h/e?tls-certificate=/d', /no parameter "tls-certificate" is known/],
    ['nbds://h/e?tls-verify-peer=0', /no parameter "tls-verify-peer"/],
    ['nbd://h/e?socket=/x', /no parameter "socket"/],
    ['nbds://h/e?tls-certificates=d', /"d" is not a path that begins with/],
    ['nbds://h/e?tls-fingerprint=AB:CD', /not the 64 digits/],
    ['nbds://h/e?tls-psk-file=/k&tls-certificates=/d', /goes without certificates/],
    ['nbds+unix:///e', /lacks "\?socket=PATH"/],
    ['nbd://h/%', /begins no character/],
    ['http://h/e', /is not an NBD URI/],
  ];
  for (const [uri, message] of cases) throws(() => parseNbdUri(uri), { code: 'IO', message }, uri);
});
