import type { Mutant } from './mutant.ts';

/* How hypervisors are recognized, and who may read what we know of them. */

const FILES = 'src/box/hypervisor-files.ts';
const MANAGED = 'src/engine/hypervisors/managed.ts';
const FILES_TEST = ['test/box/hypervisor-files.test.ts'];
const MANAGED_TEST = ['test/engine/hypervisors/managed.test.ts'];

export const managed: readonly Mutant[] = [
  {
    name: 'hypervisors: a private key for TLS that others may read is taken',
    file: 'src/engine/hypervisors/tls-files.ts',
    text: '  requirePrivate(clientKey);\n',
    to: '',
    tests: ['test/engine/hypervisors/tls.test.ts'],
  },
  {
    name: 'hypervisors: a private key that others may read is used',
    file: FILES,
    text: '    requirePrivate(path);\n    return path;',
    to: '    return path;',
    tests: FILES_TEST,
  },
  {
    name: 'hypervisors: a record that others may change is believed',
    file: FILES,
    text: '    requirePrivate(path);\n    try {',
    to: '    try {',
    tests: FILES_TEST,
  },
  {
    name: 'hypervisors: a host key that was changed in the files of ssh counts',
    file: FILES,
    text: '      if (!known || !lines.equals(known)) {',
    to: '      if (!known) {',
    tests: FILES_TEST,
  },
  {
    name: 'hypervisors: a second add of a name takes the place of the first',
    file: FILES,
    text: '        if (await files.stat(pathOf(name, RECORD))) {\n          const advice',
    to: '        if (name === "") {\n          const advice',
    tests: FILES_TEST,
  },
  {
    name: 'hypervisors: any host key will do if one is given',
    file: MANAGED,
    text: 'keys.find(({ fingerprint }) => fingerprint === hostKey)',
    to: 'keys.find(() => hostKey !== undefined)',
    tests: MANAGED_TEST,
  },
  {
    name: 'hypervisors: our key may do anything there',
    file: MANAGED,
    text: 'return `restrict,port-forwarding,permitlisten="localhost:1",command="${command}"`;',
    to: 'return `command="${command}"`;',
    tests: MANAGED_TEST,
  },
  {
    name: 'hypervisors: one from which a schedule backs up is removed',
    file: MANAGED,
    text: 'if (using && !force) {',
    to: 'if (using && force) {',
    tests: MANAGED_TEST,
  },
  {
    name: 'hypervisors: another host key is reported without what to do',
    file: 'src/engine/hypervisors/connect.ts',
    text: "if (cause.code !== 'IDENTITY') return cause;",
    to: "if (cause.code !== 'BUSY') return cause;",
    tests: ['test/engine/hypervisors/connect.test.ts'],
  },
  {
    name: 'hypervisors: one that was added for a run that was refused stays',
    file: 'src/cli/options/another-host.ts',
    text: 'added.authorizedKey !== null || !isOver',
    to: 'true',
    tests: ['test/cli/options/another-host.test.ts'],
  },
  {
    name: 'hypervisors: another fingerprint is given for an address, and passed over',
    file: 'src/cli/options/another-host.ts',
    text: 'hostKey !== undefined && hostKey !== fingerprint',
    to: 'false',
    tests: ['test/cli/options/another-host.test.ts'],
  },
  {
    name: 'hypervisors: one that is away is asked without end by the console',
    file: 'src/console/pages/hypervisors.ts',
    text: '>= MACHINES_MS',
    to: '>= 0',
    tests: ['test/console/app/hypervisors.test.ts'],
  },
];
