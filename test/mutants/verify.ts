import type { Mutant } from './mutant.ts';

const MACHINE = 'test/sessions/proof/proof-machine.test.ts';
const SIGNS = 'test/sessions/proof/signs.test.ts';
const VERDICT = 'test/sessions/proof/verdict.test.ts';
const TEXT = 'test/sessions/proof/plain-text.test.ts';
const SCREEN = 'test/sessions/proof/screen-text.test.ts';
const BOOTS = 'test/interop/verify.test.ts';
const COMMAND = 'test/interop/verify-command.test.ts';

export const verify: readonly Mutant[] = [
  {
    name: 'verify: the guest reaches the network of the box',
    file: 'src/sessions/proof/proof-machine.ts',
    text: ',restrict=on$',
    to: '$',
    tests: [MACHINE],
  },
  {
    name: 'verify: QEMU may start programs',
    file: 'src/sessions/proof/proof-machine.ts',
    text: 'spawn=deny',
    to: 'spawn=allow',
    tests: [MACHINE],
  },
  {
    name: 'verify: the time before a line hides what it says',
    file: 'src/sessions/proof/signs.ts',
    text: ".replace(BEFORE, '')",
    to: '',
    tests: [SIGNS],
  },
  {
    name: 'verify: a system that restarts for ever is only slow',
    file: 'src/sessions/proof/verdict.ts',
    text: 'if (resets >= RESETS_MAX)',
    to: 'if (resets > 1000)',
    tests: [VERDICT],
  },
  {
    name: 'verify: a panic after the login counts as success',
    file: 'src/sessions/proof/verdict.ts',
    text: 'failed(seen) ?? succeeded(seen)',
    to: 'succeeded(seen) ?? failed(seen)',
    tests: [VERDICT],
  },
  {
    name: 'verify: a sequence that comes in two pieces is shown',
    file: 'src/sessions/proof/plain-text.ts',
    text: 'pending = rest;',
    to: "pending = '';",
    tests: [TEXT],
  },
  {
    name: 'verify: a picture is taken for text',
    file: 'src/sessions/proof/screen-text.ts',
    text: 'characters / (characters + others) < SHARE_MIN',
    to: 'characters < 0',
    tests: [SCREEN],
  },
  {
    name: 'verify: a connection that only QEMU has taken is an open port',
    file: 'src/sessions/proof/guest-ports.ts',
    text: "state === 'ESTABLISHED' && from === at",
    to: 'state.length > 0 && from === at',
    tests: [BOOTS],
  },
  {
    name: 'verify: what a killed boot has left stays',
    file: 'src/sessions/proof/prove.ts',
    text: '  await sweepProofs(store);\n',
    to: '',
    tests: [COMMAND],
  },
];
