import { argument } from '../base/rows.ts';
import type { Command, Context } from '../base/command.ts';
import type { Noun } from '../base/noun.ts';
import { completionOf } from './completion.ts';
import { SCRIPTS } from './completion-scripts.ts';
import { printable } from '../../lib/printable.ts';
import type { NameKind } from '../../lib/schema.ts';
import { UsageError } from '../base/command-errors.ts';

/** A person at a key does not wait longer for a service that does not answer. */
const ANSWER_MS = 2000;
const POINTS_MAX = 500;

export const completionCommand = (nouns: readonly Noun[]): Command => ({
  summary: 'Print a completion script for a shell',
  about: [
    'If completion is not installed, add to ~/.bashrc: eval "$(holdfast completion bash)". "words" prints' +
      ' the words that may follow on a command line, one per line, each with a tab and its meaning, and ' +
      '":files" if a file name may follow.',
  ],
  args: [
    argument('SHELL', 'bash, zsh or fish; or words', { words: ['bash', 'zsh', 'fish', 'words'] }),
    argument('WORD', 'the words of the command line so far', { kind: 'list', isRequired: false }),
  ],
  options: [],
  examples: ['completion bash', 'completion words -- session k'],
  async run({ args: [kind = '', ...words] }, context) {
    const { output } = context;
    const script = Object.hasOwn(SCRIPTS, kind) ? SCRIPTS[kind as keyof typeof SCRIPTS] : undefined;
    if (script !== undefined && words.length === 0) {
      return output.result({ script }, () => script.trimEnd());
    }
    if (kind !== 'words') throw new UsageError('completion bash, zsh or fish');
    const { words: known, names, files, first } = await completionOf(words, nouns);
    const found = await Promise.all(names.map((it) => NAMED[it](context, first)));
    const all = [...known, ...found.flat().map((it) => [it, ''] as const)];
    const lines = [
      // Names come from the service, and may hold terminal control sequences.
      ...all.map((it) =>
        it
          .filter((part) => part !== '')
          .map(printable)
          .join('\t'),
      ),
      ...(files ? [':files'] : []),
    ];
    if (output.json) output.result({ words: lines }, () => '');
    else output.print(lines.join('\n'));
  },
});

/** `first`: the first argument. */
type Named = (context: Context, first: string | undefined) => Promise<readonly string[]>;

const NAMED: Readonly<Record<NameKind, Named>> = {
  sets: named(async (call) => (await call('set/list', {})).sets.map(({ set }) => set)),
  sessions: named(async (call) =>
    (await call('session/list', {})).sessions.map(({ session }) => session),
  ),
  hosted: named((call, hypervisor = '') => machinesOn(call, hypervisor)),
  hypervisors: named(async (call) =>
    (await call('hypervisor/list', {})).hypervisors.map(({ hypervisor }) => hypervisor),
  ),
  jobs: named(async (call) =>
    (await call('job/list', { first: 0, count: undefined, active: false })).jobs.map(
      ({ job }) => job,
    ),
  ),
  schedules: named(async (call) =>
    (await call('schedule/list', {})).schedules.map(({ schedule }) => schedule),
  ),
  tokens: named(async (call) => (await call('token/list', {})).tokens.map(({ token }) => token)),
  machines: named(async (call) => machinesOf(await newest(call))),
  points: named(async (call) => {
    const points = await newest(call);
    return [...machinesOf(points).map((it) => `${it}@latest`), ...points.map((it) => it.point)];
  }),
  disks: named(async (call, point) => {
    const found = (await newest(call)).find(
      (it) => it.point === point || `${it.machine}@latest` === point,
    );
    return found?.disks.map(({ name }) => name) ?? [];
  }),
};

/** Without an answer there are no names: a person at a key is not shown failures. */
function named(
  ask: (call: Context['call'], first: string | undefined) => Promise<readonly string[]>,
): Named {
  return async ({ callOn, signal }, first) => {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
    return ask(callOn(limit), first).catch(() => []);
  };
}

async function machinesOn(call: Context['call'], hypervisor: string): Promise<readonly string[]> {
  const { machines } = await call('hypervisor/machines', {
    hypervisor,
    machine: undefined,
    check: false,
  });
  return machines.map(({ machine }) => machine);
}

async function newest(call: Context['call']) {
  const all = { set: undefined, machine: undefined, contains: undefined };
  return (await call('backup/page', { ...all, first: 0, count: POINTS_MAX })).points;
}

function machinesOf(points: readonly { readonly machine: string }[]): readonly string[] {
  return [...new Set(points.map(({ machine }) => machine))];
}
