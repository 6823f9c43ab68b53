import { formatSize } from '../../../lib/sizes.ts';
import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: '',
  details: [],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const shown = await call('service/show', {});
    const { pid, started, store, storeId, space, host, sessions, jobs, alarms, lockdown } = shown;
    const { notAdopted } = shown;
    output.result(shown, () =>
      [
        `process   ${pid}, since ${started}`,
        `host      ${[host.name, ...host.addresses].join(' ')}`,
        `store     ${store}${storeId === null ? ': none yet, see "store create"' : ''}`,
        ...(space
          ? [`space     ${formatSize(space.freeBytes)} free of ${formatSize(space.totalBytes)}`]
          : []),
        `sessions  ${sessions.running} run, ${sessions.waiting} wait`,
        `jobs      ${jobs.running} run, ${jobs.waiting} wait`,
        `alarms    ${alarms.critical} critical, ${alarms.warning} warnings, ${alarms.acknowledged} acknowledged`,
        ...(lockdown === null ? [] : [`lockdown  since ${lockdown}`]),
        ...notAdopted.map((it) => `not adopted  ${it}`),
        ...(notAdopted.length > 0 ? ['see "holdfast store adopt"'] : []),
        ...(alarms.untold > 0 ? [`untold    ${alarms.untold} messages wait to be sent`] : []),
      ].join('\n'),
    );
  },
};
