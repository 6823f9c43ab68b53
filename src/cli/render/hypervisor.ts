import { duration } from '../../lib/duration.ts';
import { printable } from '../../lib/printable.ts';
import { formatSize } from '../../lib/sizes.ts';
import { unmetConditions } from '../../lib/unmet-conditions.ts';
import type { ShownFinding, ShownMachine } from '../../operations/nouns/hypervisor.ts';
import type { ResultOf } from '../../operations/operations.ts';
import { proofText } from '../../client/proof-text.ts';
import { stepsTitle } from '../../client/steps-title.ts';
import { CheckFailed } from '../base/command-errors.ts';
import { table } from '../base/output.ts';
import type { Renders } from './render.ts';

export const render = {
  'hypervisor/list': ({ hypervisors, damaged }) =>
    [
      table(
        ['HYPERVISOR', 'ADDRESS', 'LAST CONTACT', 'STATE'],
        hypervisors.map(({ hypervisor, uri, contact, product, failure }) => [
          ...[hypervisor, uri, contact ?? 'never'],
          failure ?? product ?? 'not tried yet',
        ]),
      ),
      ...damaged.map(({ path, reason }) => `UNREADABLE ${path}: ${reason}`),
    ].join('\n'),
  'hypervisor/show': (shown) => [...facts(shown), ...stepsText(shown)].join('\n'),
  'hypervisor/test': {
    text: ({ findings }) => findingsTable(findings),
    failure: ({ findings, hypervisor }) =>
      blocked(findings, `backups from "${hypervisor}" cannot begin`),
  },
  'hypervisor/machines': ({ machines, places }, { check, machine: only }) =>
    [
      table(
        [
          ...['MACHINE', 'POWER', 'LAST BACKUP', 'CONSISTENCY', 'SET', 'PROOF'],
          ...(check ? CHECKED : []),
        ],
        machines.map((machine) => [...machineRow(machine), ...(check ? checkedRow(machine) : [])]),
      ),
      ...machines.flatMap(({ machine, findings }) => {
        const bad = (findings ?? []).filter(({ level }) => level !== 'ok');
        return bad.length === 0 ? [] : ['', `${machine}:`, findingsTable(bad)];
      }),
      ...(places && only === undefined ? ['', ...placesLines(places)] : []),
    ].join('\n'),
  'hypervisor/change': (shown) => [...facts(shown), ...stepsText(shown)].join('\n'),
} satisfies Renders;

function placesLines({
  pools,
  networks,
}: NonNullable<ResultOf<'hypervisor/machines'>['places']>): readonly string[] {
  const free = pools.map((it) => `${it.pool} (${formatSize(it.free)} free)`);
  return [`Pools:    ${free.join(', ') || 'none'}`, `Networks: ${networks.join(', ') || 'none'}`];
}

/** What is left to do once it was added. */
export function addedText(added: ResultOf<'hypervisor/add'>): string {
  const { hypervisor } = added;
  return [
    `Hypervisor "${hypervisor}" is added.`,
    ...stepsText(added),
    '',
    `To see whether backups can begin: holdfast hypervisor test ${hypervisor}`,
  ].join('\n');
}

function facts(shown: ResultOf<'hypervisor/show'>): readonly string[] {
  const { hypervisor, kind, uri, fingerprint, added } = shown;
  const { contact, product, host, failed, failure, sockets, scratch } = shown;
  return [
    `hypervisor    ${hypervisor} (${kind})`,
    `address       ${uri}`,
    ...(fingerprint === null ? [] : [`host key      ${fingerprint}`]),
    ...(sockets === null ? [] : [`sockets       ${sockets}`]),
    ...(scratch === null ? [] : [`scratch       ${scratch}`]),
    `added         ${added}`,
    `last contact  ${contact === null ? 'never' : `${contact}: ${host}, ${product}`}`,
    ...(failure === null ? [] : [`failed        ${failed}: ${failure}`]),
  ];
}

/** What is left to do there. */
export function stepsText({ uri, steps }: ResultOf<'hypervisor/show'>): readonly string[] {
  if (steps.length === 0) return [];
  return ['', stepsTitle(uri), '', ...steps.map((step) => `  ${step}`)];
}

/** Each condition in a line, and below it what to do: sentences, which in columns would be wider than any screen. */
export function findingsTable(findings: readonly ShownFinding[]): string {
  const rows = findings.map(({ level, code, disk }) => [
    level === 'blocker' ? 'BLOCKER' : level,
    disk === null ? code : `${code} (${disk})`,
  ]);
  const [first, second] = [0, 1].map((n) => Math.max(...rows.map((row) => row[n]!.length)));
  return findings
    .flatMap(({ message, remedy }, n) => {
      const head = `${rows[n]![0]!.padEnd(first!)}  ${rows[n]![1]!.padEnd(second!)}`;
      const todo = remedy === null ? [] : [`${' '.repeat(first!)}  what to do: ${remedy}`];
      return [`${head}  ${message}`, ...todo].map(printable);
    })
    .join('\n');
}

/** Undefined: nothing stands in the way. */
export function blocked(findings: readonly ShownFinding[], what: string): Error | undefined {
  const blockers = findings.filter(({ level }) => level === 'blocker').length;
  return blockers === 0 ? undefined : new CheckFailed(`${what}: ${unmetConditions(blockers)}`);
}

function machineRow({ machine, power, last, proof }: ShownMachine): readonly string[] {
  const backup = [last?.created ?? 'never', last?.consistency ?? '', last?.set ?? ''];
  return [machine, power, ...backup, last === null ? '' : proofText(proof)];
}

const CHECKED = ['DISKS', 'AT MOST', 'AT 1 GBIT/S', 'STATE'];

function checkedRow({ disks, bytes, seconds, findings }: ShownMachine): readonly string[] {
  const levels = (findings ?? []).map(({ level }) => level);
  const read = (disks ?? []).filter(({ excluded }) => excluded === null);
  const left = (disks ?? []).length - read.length;
  return [
    disks === null ? '' : `${read.length}${left === 0 ? '' : ` (${left} left out)`}`,
    bytes === null ? '' : formatSize(bytes),
    seconds === null ? '' : duration(seconds),
    levels.includes('blocker') ? 'BLOCKER' : levels.includes('warning') ? 'warning' : 'ok',
  ];
}
