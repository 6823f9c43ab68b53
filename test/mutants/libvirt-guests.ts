import type { Mutant } from './mutant.ts';

const QUIET = 'src/hypervisors/libvirt/quiet-guest.ts';
const BEGIN = 'src/hypervisors/libvirt/begin-backup.ts';
const tests = ['test/hypervisors/libvirt/quiet-guest.test.ts'];

export const libvirtGuests: readonly Mutant[] = [
  {
    name: 'libvirt: a guest that refuses to freeze stays marked',
    ...{ file: QUIET, tests },
    text: 'if (isRefused) await unmark(host, domain);',
    to: 'if (isRefused) await Promise.resolve();',
  },
  {
    name: 'libvirt: a mark whose answer was lost stays',
    ...{ file: QUIET, tests },
    text: '    await unmark(host, domain);\n    throw cause;',
    to: '    throw cause;',
  },
  {
    name: 'libvirt: a machine that is paused counts as off, and is left frozen',
    ...{ file: QUIET, tests },
    text: "if (power === 'off') return 'off';",
    to: "return 'off';",
  },
  {
    name: 'libvirt: a freeze that ended too early is not noticed',
    ...{ file: QUIET, tests },
    text: 'thawed === 0 && frozen > 0',
    to: 'false',
  },
  {
    name: 'libvirt: a guest stays frozen where the connection was cut',
    ...{ file: QUIET, tests },
    text: 'reason !== undefined && (await hasEnded(link))',
    to: 'false',
  },
  {
    name: 'libvirt: a backup that begins too late is not begun again',
    ...{ file: 'src/hypervisors/base/within-limit.ts', tests },
    text: 'if (cause !== late) throw cause;',
    to: 'throw cause;',
  },
  {
    name: 'libvirt: what begins after it was looked for is left',
    ...{ file: BEGIN, tests },
    text: 'await Promise.allSettled(calls);',
    to: '',
  },
  {
    name: 'libvirt: a slow host never has a backup',
    ...{ file: BEGIN, tests },
    text: 'attempt > FROZEN_ATTEMPTS',
    to: 'false',
  },
  {
    name: 'libvirt: disks that were attached since are not in the description',
    file: 'src/hypervisors/libvirt/machines.ts',
    tests: ['test/hypervisors/libvirt/begin-backup.test.ts'],
    text: 'disks: now.disks',
    to: 'disks: described.disks',
  },
];
