import type { Mutant } from './mutant.ts';

const LINK = 'test/hypervisors/libvirt/link.test.ts';
const ADDRESS = 'test/hypervisors/libvirt/uri.test.ts';
const CODEC = 'test/formats/wire/libvirt.test.ts';
const CALLS = 'src/hypervisors/libvirt/calls.ts';

const STREAMS = 'src/hypervisors/libvirt/streams.ts';
const STREAMED = 'test/hypervisors/libvirt/streams.test.ts';

const DEFINITION = 'src/hypervisors/libvirt/run/definition.ts';
const DEFINED = 'test/hypervisors/libvirt/definition.test.ts';

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
    text: "signal?.addEventListener('abort', onAbort, { once: true });",
    to: '',
    tests: [STREAMED],
  },
  {
    name: 'libvirt: what is uploaded is not all that is sent',
    file: STREAMS,
    text: 'at < bytes.length; at += PART_LENGTH',
    to: 'at < bytes.length - PART_LENGTH; at += PART_LENGTH',
    tests: [STREAMED],
  },
  {
    name: 'libvirt: a missing network becomes the one that the machine had',
    file: DEFINITION,
    text: "const OUTSIDE = [\n  'source',",
    to: "const OUTSIDE = [\n  'src',",
    tests: [DEFINED],
  },
  {
    name: 'libvirt: an error of a served disk is the guest’s',
    file: 'src/hypervisors/libvirt/run/served-disk.ts',
    text: "error_policy: 'stop', rerror_policy: 'stop'",
    to: "error_policy: 'report', rerror_policy: 'stop'",
    tests: [DEFINED],
  },
  {
    name: 'libvirt: a session’s machine has the variables of the one whose place it takes',
    file: DEFINITION,
    text: 'variablesPath(plan.session)',
    to: "(typeof first(os, 'nvram')?.children[0] === 'string' ? String(first(os, 'nvram')!.children[0]) : '')",
    tests: [DEFINED],
  },
  {
    name: 'libvirt: devices of the host stay in the definition of a session’s machine',
    file: DEFINITION,
    text: "    case 'hostdev':\n",
    to: '',
    tests: [DEFINED],
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
  {
    name: 'libvirt: an image of version 2 fails the backup',
    file: 'src/hypervisors/libvirt/begin-backup.ts',
    text: "cause.message.includes('qcow2 v2')",
    to: 'false',
    tests: ['test/hypervisors/libvirt/begin-backup.test.ts'],
  },
  {
    name: 'libvirt: variables of firmware that libvirt chooses are left out',
    file: 'src/hypervisors/libvirt/machines.ts',
    text: 'if (!defined.hasFirmwareLater) return',
    to: 'return',
    tests: ['test/hypervisors/libvirt/begin-backup.test.ts'],
  },
];
