import { formatSize } from '../../lib/sizes.ts';
import type { ResultOf } from '../../operations/operations.ts';
import type { ThroughputRates } from '../../operations/nouns/service.ts';
import { table } from '../base/output.ts';
import type { Renders } from './render.ts';

export const render = {
  'service/show': serviceText,
  'service/throughput': ({ points, seconds, now }) =>
    table(
      ['WHEN', 'GUESTS READ', 'GUESTS WRITE', 'BACKUPS READ'],
      [
        ...points.map((it, at) => ratesRow(`${(points.length - at) * seconds} s ago`, it)),
        ratesRow('now', now),
      ],
    ),
  'export/list': ({ exports }) =>
    table(
      ['SESSION', 'EXPORT, CLIENT', 'READ', 'WRITTEN', 'SINCE'],
      exports.flatMap(({ session, uri, clients, ...whole }) => [
        [session, uri, formatSize(whole.readBytes), formatSize(whole.writtenBytes), ''],
        ...clients.map(({ address, since, readBytes, writtenBytes }) => [
          ...['', `  ${address ?? 'this host'}`, formatSize(readBytes)],
          ...[formatSize(writtenBytes), since],
        ]),
      ]),
    ),
} satisfies Renders;

function serviceText(shown: ResultOf<'service/show'>): string {
  const { pid, started, store, storeId, space, host, sessions, jobs, alarms, lockdown } = shown;
  const { notAdopted } = shown;
  return [
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
  ].join('\n');
}

function ratesRow(
  when: string,
  { readBytes, writtenBytes, ingestBytes }: ThroughputRates,
): readonly string[] {
  return [when, ...[readBytes, writtenBytes, ingestBytes].map((it) => `${formatSize(it)}/s`)];
}
