import { flag, option } from '../../base/rows.ts';
import type { Command } from '../../base/command.ts';
import { table } from '../../base/output.ts';

export const command: Command = {
  summary: 'Show orders that this host did not give, and adopt them',
  about: [
    'Shows sessions, jobs, schedules and sets in the store that this host does not know, and machines ' +
      'whose recovery points are older than it remembers: the store came from another host, was away or ' +
      'restored from a copy, or an attacker has written to it. None of the orders is obeyed until it is ' +
      'adopted. Read them first: a session exports decrypted disks, a job reads files of this host.',
  ],
  args: [],
  options: [
    flag('yes', 'adopt all that is shown, and accept the older recovery points as the newest'),
    option(
      'plan',
      'PLAN',
      'the plan that was shown: if anything has changed since, nothing is adopted; default: the store as it' +
        ' is now',
    ),
  ],
  examples: ['store adopt', 'store adopt --yes --plan 3f9c2a'],
  async run(input, { output, call }) {
    const shown = await call('store/adopt', { plan: undefined });
    const isNothing = [
      ...[shown.sessions, shown.jobs, shown.schedules, shown.sets, shown.lost, shown.older],
    ].every(({ length }) => length === 0);
    const mayAdopt = input.flag('yes');
    const plan = input.text('plan') ?? shown.plan;
    const done = mayAdopt ? await call('store/adopt', { plan }) : shown;
    output.result(done, () =>
      [
        ...(shown.memory === null ? [] : [`MEMORY  ${shown.memory}`]),
        ...(isNothing ? ['Nothing in the store is unknown to this box.'] : []),
        ...list('STORE', shown.lost, (feature) => ['has no longer', feature]),
        ...list('SESSION', shown.sessions, ({ session, point, listen, tls, starts, nfs }) => [
          session,
          point,
          listen,
          tls ? 'TLS' : 'no TLS',
          starts ? 'runs by itself' : 'stopped',
          nfs === null ? '' : `NFS for ${nfs.join(' ')}`,
        ]),
        ...list('JOB', shown.jobs, ({ job, kind, request }) => [
          job,
          kind,
          JSON.stringify(request),
        ]),
        ...list('SCHEDULE', shown.schedules, ({ schedule, at, kind, request }) => [
          schedule,
          at,
          kind,
          JSON.stringify(request),
        ]),
        ...list('SET', shown.sets, ({ set, encrypted, wasEncrypted }) => [
          set,
          wasEncrypted && !encrypted ? 'NO LONGER ENCRYPTED' : 'another key than before',
        ]),
        ...list('MACHINE', shown.older, ({ set, machine, point }) => [
          machine,
          set,
          `older than ${point}`,
        ]),
        done.adopted ? 'Adopted: all of this is obeyed from now on.' : 'Nothing was changed.',
        ...(done.adopted || (isNothing && shown.memory === null)
          ? []
          : [`To obey just this: holdfast store adopt --yes --plan ${shown.plan}`]),
      ].join('\n'),
    );
  },
};

function list<T>(title: string, items: readonly T[], row: (item: T) => string[]): string[] {
  if (items.length === 0) return [];
  const rows = items.map(row);
  return [table([title, ...rows[0]!.slice(1).map(() => '')], rows)];
}
