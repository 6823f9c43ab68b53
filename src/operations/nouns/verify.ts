import {
  field,
  flag,
  integer,
  list,
  object,
  oneOf,
  optional,
  text,
  withDefault,
} from '../../lib/schema.ts';
import { line, point } from '../base/fields.ts';
import { mutation, query } from '../base/operation.ts';
import { wholeProof } from '../base/proofs.ts';

/* Proof of recovery: recovery points booted in isolation, and what is kept of that. */

const asked = (what: string) => field(withDefault(flag(), false), what);

const SECONDS_MAX = 24 * 3600;
const MEMORY_MIB = [64, 1024 * 1024] as const;
const PORT_MAX = 65_535;
/** The most checks of one kind. */
const CHECKS_MAX = 16;

const http = text({
  max: 1024,
  pattern: /^(https?:)?\d{1,5}(\/\P{Cc}*)?$/u,
  words: 'PORT/PATH, such as 80/health or https:443/',
});

const proofRequest = {
  timeout: field(
    withDefault(integer(1, SECONDS_MAX), 600),
    'in seconds: the machine must be up, and pass all checks, within this time after its start',
    { placeholder: 'TIME', label: 'Time limit' },
  ),
  memory: field(
    optional(integer(...MEMORY_MIB)),
    'MiB of memory of the guest (default: as the machine had, from 128 to 2048)',
    { placeholder: 'MIB' },
  ),
  accel: field(
    withDefault(oneOf('auto', 'kvm', 'tcg'), 'auto'),
    'kvm: the processor runs the guest; tcg: it is emulated, which is many times as slow; auto: kvm where a test ' +
      'guest starts with it',
    { label: 'Processor' },
  ),
  firmware: field(
    optional(oneOf('bios', 'uefi')),
    'firmware of the guest (default: as the machine had; bios if that is not known)',
  ),
  agent: field(withDefault(flag(), false), 'the guest agent must answer', { label: 'Guest agent' }),
  text: field(
    withDefault(list(line(256), CHECKS_MAX), []),
    'a line on the serial line or on the screen must contain this text',
    { placeholder: 'TEXT', label: 'Texts' },
  ),
  port: field(
    withDefault(list(integer(1, PORT_MAX), CHECKS_MAX), []),
    'the guest must accept connections at this TCP port',
    { placeholder: 'PORT', label: 'Ports' },
  ),
  http: field(
    withDefault(list(http, CHECKS_MAX), []),
    'a web server in the guest must answer with a status from 200 to 399; with https: any certificate will do',
    { placeholder: 'PORT/PATH', label: 'Web pages' },
  ),
  screen: field(
    withDefault(flag(), false),
    'the screen must show something that does not change for 30 seconds: for guests that answer in no other way',
    { label: 'Screen at rest' },
  ),
};

const boot = mutation('verify/point', {
  summary: 'Boot a recovery point in isolation, to prove that it works',
  description:
    'Runs the machine on this box with QEMU, without a network but a private one, and throws away what it writes. ' +
    'The recovery point is proven if the guest is up (its agent answers, or its serial line or screen shows a login) ' +
    'and passes all checks that are asked for. The verdict, the screen and the serial log are kept with it.',
  runs: 'worker',
  changes: ['backup', 'verify'],
  key: 'opens',
  passkey: 'for what is guarded',
  guarded: ['screenshot'],
  lockdown: 'allowed',
  request: object({
    point,
    ...proofRequest,
    screenshot: asked('answer with the screenshot too'),
  }),
  result: wholeProof,
  cli: {
    args: ['point'],
    options: { timeout: { form: 'duration' }, screenshot: { hidden: true } },
    notes: 'The exit code is 10 if the recovery point is not proven.',
    examples: [
      'verify web1@latest',
      'verify web1@latest --agent --port 22 --http 80/health --timeout 5m',
      'verify web1@latest --screenshot web1.png',
    ],
  },
});

const show = query('verify/show', {
  summary: 'Show the last proof of a recovery point',
  description:
    'The checks, screen and serial line of its last boot in isolation. Needs the key of its set: in an encrypted set ' +
    'all but the verdict is encrypted. "backup list" shows verdicts without a key.',
  runs: 'store',
  shows: ['verify', 'backup'],
  key: 'opens',
  passkey: 'for what is guarded',
  guarded: ['screenshot', 'picture', 'serial'],
  request: object({
    point,
    screenshot: asked('with the screenshot'),
    picture: asked('with a small picture of the screen'),
    serial: asked('with what the guest wrote to its serial line'),
  }),
  result: wholeProof,
});

export const operations = [boot, show] as const;
