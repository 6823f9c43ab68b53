import type { Command, CommandEntry, Context } from '../base/command.ts';
import { completionOf, type NameKind } from './completion.ts';
import { UsageError } from '../base/command-errors.ts';

/** Who waits at a key waits no longer for a service that does not answer. */
const ANSWER_MS = 2000;
const POINTS_MAX = 500;

/*
 * Bash takes words apart at "=", ":" and "@" too, and replaces the last part only. What may come is asked of the
 * program itself: this script knows no command.
 */
const BASH = `_holdfast() {
  local line=\${COMP_LINE:0:COMP_POINT} last=\${COMP_WORDS[COMP_CWORD]} current found it
  local -a words
  read -ra words <<<"$line"
  [[ $line != *[[:space:]] ]] || words+=('')
  current=\${words[-1]}
  [[ $last != [=:@] ]] || last=
  COMPREPLY=()
  while IFS= read -r it; do
    if [[ $it == :files ]]; then compopt -o default
    elif [[ $it == "$current"* ]]; then COMPREPLY+=("\${it#"\${current%"$last"}"}"); fi
  done < <("\${words[0]}" completion words -- "\${words[@]:1}" 2>/dev/null)
}
complete -F _holdfast holdfast
`;

export const completionCommand = (commands: readonly CommandEntry[]): Command => ({
  usage: 'bash | words -- WORD ...',
  details: [
    'bash   the script; where it is not installed: eval "$(holdfast completion bash)" in ~/.bashrc',
    'words  what may follow on a command line, a line each; ":files" where it is a file',
  ],
  options: {},
  takes: [1, 1000],
  async run({ args: [kind, ...words] }, context) {
    const { output } = context;
    if (kind === 'bash' && words.length === 0) {
      return output.result({ script: BASH }, () => BASH.trimEnd());
    }
    if (kind !== 'words') throw new UsageError('completion bash, or completion words -- WORD ...');
    const { words: known, names, files, point } = await completionOf(words, commands);
    const found = await Promise.all(names.map((it) => NAMED[it](context, point)));
    const lines = [...known, ...found.flat(), ...(files ? [':files'] : [])];
    output.result({ words: lines }, () => lines.join('\n'));
  },
});

type Named = (context: Context, point: string | undefined) => Promise<readonly string[]>;

const NAMED: Readonly<Record<NameKind, Named>> = {
  sets: named(async (call) => (await call('set/list', {})).sets.map(({ set }) => set)),
  sessions: named(async (call) =>
    (await call('session/list', {})).sessions.map(({ session }) => session),
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

/** What nobody answers is not known: a person at a key is told nothing of failures. */
function named(
  ask: (call: Context['call'], point: string | undefined) => Promise<readonly string[]>,
): Named {
  return async ({ callOn, signal }, point) => {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
    return ask(callOn(limit), point).catch(() => []);
  };
}

async function newest(call: Context['call']) {
  const all = { set: undefined, machine: undefined, contains: undefined };
  return (await call('backup/page', { ...all, first: 0, count: POINTS_MAX })).points;
}

function machinesOf(points: readonly { readonly machine: string }[]): readonly string[] {
  return [...new Set(points.map(({ machine }) => machine))];
}
