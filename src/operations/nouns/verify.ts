import {
  field,
  flag,
  integer,
  list,
  nullable,
  type Of,
  object,
  oneOf,
  optional,
  text,
  withDefault,
} from '../../lib/schema.ts';
import {
  count,
  line,
  MANY,
  name,
  nothing,
  point,
  prose,
  setName,
  time,
  word,
} from '../base/fields.ts';
import { mutation, query } from '../base/operation.ts';
import { wholeProof } from '../base/proofs.ts';

/* Proof of recovery: recovery points booted in isolation, and what is kept of that. */

/** More than any box carries. */
const CLONES_MAX = 1024;
/** As many as one run backs up. */
const MACHINES_MAX = 10_000;

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

/** A file's name, which no shell and no path misreads. */
const script = text({
  max: 128,
  pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
  words: 'the name of a file in /etc/holdfast/verify.d',
});

const proofRequest = {
  timeout: field(
    withDefault(integer(1, SECONDS_MAX), 600),
    'how long after its start the machine must be up, and pass all checks, in seconds; in commands 90s, 5m, 2h',
    { placeholder: 'TIME', label: 'Time limit' },
  ),
  memory: field(
    optional(integer(...MEMORY_MIB)),
    'MiB of memory of the guest (default: as the machine had, from 128 to 2048)',
    { placeholder: 'MIB' },
  ),
  accel: field(
    withDefault(oneOf('auto', 'kvm', 'tcg'), 'auto'),
    'kvm: the processor runs the guest; tcg: the processor is emulated, which is many times slower; auto: kvm if ' +
      'a test guest starts with it',
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
    'the guest must accept connections on this TCP port',
    { placeholder: 'PORT', label: 'Ports' },
  ),
  http: field(
    withDefault(list(http, CHECKS_MAX), []),
    'a web server in the guest must answer with a status from 200 to 399; https accepts any certificate',
    { placeholder: 'PORT/PATH', label: 'Web pages' },
  ),
  screen: field(
    withDefault(flag(), false),
    'the screen must show a picture, or text of a system that is up, that does not change for 30 seconds',
    { label: 'Screen at rest' },
  ),
};

/** Not for clones that are only measured. */
const scripts = {
  script: field(
    withDefault(list(script, CHECKS_MAX), []),
    'a script of the administrator in /etc/holdfast/verify.d must end with exit code 0; it runs in a sandbox, once ' +
      'all other checks have passed, and reaches the ports of --port and --http',
    { placeholder: 'NAME', label: 'Scripts' },
  ),
};

const boot = mutation('verify/point', {
  summary: 'Boot a recovery point in isolation, to prove that it works',
  description:
    'Runs the machine on this box with QEMU, in a private network only, and discards what it writes. The recovery ' +
    'point is proven if the guest is up (its agent answers, or its serial line or screen shows a login) and passes ' +
    'all requested checks. The verdict, the screen and the serial log are kept with the point.',
  runs: 'worker',
  changes: ['backup', 'verify'],
  key: 'opens',
  passkey: 'for what is guarded',
  guarded: ['screenshot'],
  lockdown: 'allowed',
  request: object({
    point,
    ...proofRequest,
    ...scripts,
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

const outcome = {
  machine: field(word, 'name of the machine'),
  point: field(word, 'ID of its recovery point'),
};

const latest = mutation('verify/latest', {
  summary: 'Prove the latest recovery point of each machine of a set',
  description:
    'Boots them in isolation, several at once as far as memory and processors allow ("proofs" of the settings). ' +
    'Recovery sessions come first: when one starts, a boot under way is ended, and begun again afterwards.',
  runs: 'service',
  changes: ['verify', 'backup'],
  key: 'opens',
  passkey: 'not asked',
  lockdown: 'allowed',
  job: { kind: 'verify' },
  request: object({
    set: setName,
    machines: field(optional(list(name, MACHINES_MAX, 1)), 'only these machines', {
      ...{ placeholder: 'MACHINE', names: 'machines', label: 'Only machines' },
    }),
    ...proofRequest,
    ...scripts,
  }),
  result: object({
    set: field(word, 'name of the backup set'),
    points: field(
      list(
        object({
          ...outcome,
          verdict: field(oneOf('proven', 'failed'), 'whether its boot proved it'),
          state: field(word, 'what the guest did'),
          reason: field(prose, 'what was seen'),
        }),
        MANY,
      ),
      'recovery points that were tried',
    ),
    notTried: field(
      list(object({ ...outcome, reason: field(prose, 'why it was not tried') }), MANY),
      'recovery points that could not be tried',
    ),
  }),
  cli: {
    args: ['set'],
    options: { machines: { name: 'only' }, timeout: { form: 'duration' } },
    examples: ['verify latest nightly', 'verify latest nightly --only web1 --only db1 --queue'],
  },
});

const capacityFigure = object({
  measured: time('when it was measured'),
  release: field(word, 'the release of Holdfast that measured it'),
  set: field(word, 'the backup set'),
  machine: field(word, 'the machine'),
  point: field(word, 'the recovery point whose clones were booted'),
  accelerator: field(oneOf('kvm', 'tcg'), 'how the guests were run: by the processor, or emulated'),
  processors: field(count, 'the processors of this box'),
  memoryBytes: field(count, 'the memory of each clone'),
  carries: field(count, 'the most clones that came up at once'),
  limit: field(
    oneOf('memory', 'boot', 'reads', 'asked'),
    'what ended it: memory (none was left), boot (they did not come up, or took more than three ' +
      'times as long as one alone), reads (the slowest of 100 reads took longer than 100 ms), asked (more were not ' +
      'tried)',
  ),
  steps: field(
    list(
      object({
        clones: field(count, 'how many were booted at once'),
        up: field(count, 'how many came up'),
        bootMs: field(count, 'milliseconds until the last one was up, or had failed'),
        readP99Us: field(count, '99 of 100 reads took at most this long, in microseconds'),
        readBytes: field(count, 'bytes that all of them read'),
      }),
      MANY,
    ),
    'what was tried, in order',
  ),
});
export type CapacityFigure = Of<typeof capacityFigure>;

const measure = mutation('verify/measure', {
  summary: 'Measure how many machines this box carries at once',
  description:
    'Boots clones of a recovery point in isolation, more each time, until there is no memory for more or they come ' +
    'up too slowly. Only the result is kept. The clones use up to half of the memory of this box. The service ' +
    'measures only while no recovery session runs.',
  runs: 'worker',
  changes: ['verify'],
  key: 'opens',
  passkey: 'not asked',
  request: object({
    point,
    most: field(withDefault(integer(1, CLONES_MAX), 64), 'the most clones that are tried', {
      placeholder: 'N',
    }),
    ...proofRequest,
  }),
  result: capacityFigure,
  cli: {
    args: ['point'],
    options: { timeout: { form: 'duration' } },
    examples: ['verify measure web1@latest', 'verify measure web1@latest --most 8 --memory 512'],
  },
});

const capacity = query('verify/capacity', {
  summary: 'Show how many machines this box carries at once',
  description: 'Shows the last result of "verify measure".',
  runs: 'store',
  request: nothing,
  result: object({
    figure: field(nullable(capacityFigure), 'what was measured; null: nothing was measured yet'),
  }),
  cli: { examples: ['verify capacity'] },
});

const runScript = mutation('verify/script', {
  summary: 'Run a script against the guest of a proof',
  description:
    "Asked by the process of a proof itself. The script runs in a sandbox of systemd, which needs root's rights.",
  runs: 'hostd',
  changes: [],
  remote: { denied: 'only a proof on this host asks for it' },
  request: object({
    script: field(script, 'the script'),
    proof: field(
      text({ max: 16, min: 16, pattern: /^[0-9a-f]+$/, words: '16 hexadecimal digits' }),
      'the boot',
    ),
    set: field(word, 'name of the backup set'),
    machine: field(word, 'name of the machine'),
    point: field(word, 'ID of the recovery point'),
    seconds: field(integer(1, SECONDS_MAX), 'after which it is killed'),
  }),
  result: object({
    isPassed: field(flag(), 'whether its exit code is 0'),
    detail: field(prose, 'how it ended, and the end of what it has printed'),
  }),
});

export const operations = [boot, show, latest, measure, capacity, runScript] as const;
