import type { Mutant } from './mutant.ts';

const LINK = 'test/hypervisors/libvirt/link.test.ts';
const ADDRESS = 'test/hypervisors/libvirt/uri.test.ts';
const CODEC = 'test/formats/wire/libvirt.test.ts';
const CALLS = 'src/hypervisors/libvirt/calls.ts';

const STREAMS = 'src/hypervisors/libvirt/streams.ts';
const STREAMED = 'test/hypervisors/libvirt/streams.test.ts';

export const libvirt: readonly Mutant[] = [
  {
    name: 'libvirt: disks that QEMU gives to any client are read',
    file: 'src/hypervisors/libvirt/tls-way.ts',
    text: 'await requireGuarded(uri(any), { host, tls, signal });',
    to: '',
    tests: ['test/interop/libvirt-tls.test.ts'],
  },
  {
    name: 'libvirt: a file has any length',
    file: STREAMS,
    text: 'if (length <= lengthMax) return',
    to: 'return',
    tests: [STREAMED],
  },
  {
    name: 'libvirt: a stream that no one waits for goes on',
    file: STREAMS,
    text: "else signal?.addEventListener('abort', onAbort, { once: true });",
    to: '',
    tests: [STREAMED],
  },
  {
    name: 'libvirt: as many calls are sent as there are',
    file: CALLS,
    text: 'const RUNNING_MAX = 3;',
    to: 'const RUNNING_MAX = 30;',
    tests: [LINK],
  },
  {
    name: 'libvirt: an urgent call waits for the others',
    file: CALLS,
    text: '(isUrgent ? urgent : waiting).add(call);',
    to: 'waiting.add(call);',
    tests: [LINK],
  },
  {
    name: 'libvirt: an aborted call frees its place before libvirt has ended it',
    file: CALLS,
    text: '    leave(call);\n    if (isIdle()) onIdle();',
    to: '    leave(call);\n    for (const [it, one] of running) if (one === call) running.delete(it);\n    proceed();',
    tests: [LINK],
  },
  {
    name: 'libvirt: a host that has gone without a word is never noticed',
    file: 'src/hypervisors/libvirt/link.ts',
    text: 'if (pings >= PINGS_MAX) return true;',
    to: '',
    tests: [LINK],
  },
  {
    name: 'libvirt: memory is taken for what a packet says of its length',
    file: 'src/formats/wire/libvirt.ts',
    text: 'Math.max(FIRST_LENGTH, 2 * kept.length, filled + bytes.length)',
    to: 'packetLength(bytes)',
    tests: [CODEC],
  },
  {
    name: 'libvirt: ssh asks its user whether to trust a host key',
    file: 'src/hypervisors/base/ssh.ts',
    text: "'StrictHostKeyChecking=yes',",
    to: "'StrictHostKeyChecking=accept-new',",
    tests: [ADDRESS],
  },
  {
    name: 'libvirt: an address without SSH leads to another host',
    file: 'src/hypervisors/libvirt/uri.ts',
    text: "if (host !== undefined) throw refused(uri, 'another host is reached through SSH or TLS');",
    to: '',
    tests: [ADDRESS],
  },
];
