import { formatSize } from '../../lib/sizes.ts';
import type { ShownPoint } from '../../operations/nouns/backup.ts';
import { proofFacts } from '../../client/proof-facts.ts';
import { keptTexts, marksText } from '../../client/marks-text.ts';
import { proofText } from '../../client/proof-text.ts';
import { BackupIncomplete } from '../base/command-errors.ts';
import { fact, table } from '../base/output.ts';
import type { Renders } from './render.ts';
import { retainedText } from './retained-lines.ts';
import { writtenLines } from './written-disks.ts';

export const render = {
  'backup/create'({ point, readBytes, storedBytes, scopes }, { changed }) {
    const sizes = `${formatSize(readBytes)} read, ${formatSize(storedBytes)} stored`;
    const whole = scopes
      .filter(({ scope }) => changed !== undefined && scope === 'all')
      .map(({ disk, reason }) => `\nDisk ${disk} was read whole, because ${reason}`);
    return `Recovery point ${point} (${sizes})${whole.join('')}`;
  },
  'backup/machine': {
    text: ({ run, points, failed }) =>
      [
        `Run ${run}: ${points.length === 1 ? '1 recovery point' : `${points.length} recovery points`}`,
        ...points.map(
          ({ point, readBytes, storedBytes }) =>
            `${point} (${formatSize(readBytes)} read, ${formatSize(storedBytes)} stored)`,
        ),
        ...failed.map(({ machine, reason }) => `NOT BACKED UP ${machine}: ${reason}`),
      ].join('\n'),
    failure({ failed }) {
      if (failed.length === 0) return undefined;
      const count = failed.length === 1 ? '1 machine was' : `${failed.length} machines were`;
      return new BackupIncomplete(`${count} not backed up`);
    },
  },
  'backup/list': {
    text({ points }) {
      const isMarked = points.some(({ marks }) => marks !== undefined);
      return table(
        ['POINT', 'SET', 'MACHINE', 'CREATED', 'FROM', 'DISKS', 'STORED', 'PROOF'].concat(
          isMarked ? 'KEPT, NOTES' : [],
        ),
        points.map(({ point, set, machine, created, origin, disks, storedBytes, proof, marks }) => [
          ...[point, set, machine, created, origin],
          disks.map(({ name, size }) => `${name} ${formatSize(size)}`).join(', '),
          ...[formatSize(storedBytes), proofText(proof)],
          ...(isMarked ? [marksText(marks)] : []),
        ]),
      );
    },
    say: ({ damaged }) => damaged.map(({ reason }) => `DAMAGED ${reason}`),
  },
  'backup/show': { text: pointText, verbatim: ({ definition }) => definition },
  'backup/retain': (result, { dryRun }) => retainedText(result, dryRun),
  'restore/disk'({ point, disk, to, format, writtenBytes }) {
    const written = formatSize(writtenBytes);
    return `Disk ${disk} of ${point} is in ${to}, ${format} (${written} written and verified)`;
  },
  'restore/images': ({ machine, point, disks, files }) =>
    [
      `${machine} of ${point} is restored:`,
      ...writtenLines(disks),
      ...files.map((it) => `  ${it}`),
    ].join('\n'),
} satisfies Renders;

function pointText(point: ShownPoint): string {
  const { set, machine, created, origin, parent, disks, readBytes, storedBytes, run } = point;
  return [
    fact('recovery point', point.point),
    fact('set', set),
    fact('machine', machine),
    fact('created', `${created}, from a ${origin}`),
    fact('based on', parent ?? 'nothing'),
    fact('read, stored', `${formatSize(readBytes)}, ${formatSize(storedBytes)}`),
    ...(run === undefined ? [] : [fact('run', run)]),
    ...consistencyLines(point),
    ...disks.map(({ name, size, source }) => fact('disk', `${name} ${formatSize(size)} ${source}`)),
    ...marksLines(point),
    ...machineLines(point),
    fact('proof', proofText(point.proof)),
    ...(point.proof ? proofFacts(point.proof).map(([head, text]) => fact(head, text)) : []),
    ...point.files.map(({ name, kind, size }) =>
      fact('file', `${name} ${formatSize(size)} ${kind}`),
    ),
  ].join('\n');
}

function marksLines({ marks }: ShownPoint): string[] {
  if (!marks) return [];
  const { note, tags, holds, unreadable } = marks;
  const kept = keptTexts(marks);
  return [
    ...(note === null ? [] : [fact('note', note)]),
    ...(tags.length === 0 ? [] : [fact('tags', tags.join(', '))]),
    ...(kept.length === 0 ? [] : [fact('KEPT', kept.join(', '))]),
    ...holds.map(({ name, since }) => fact('hold', `${name}, since ${since}`)),
    ...(unreadable === undefined ? [] : [fact('reason', unreadable)]),
  ];
}

const STATES = {
  application: 'application: its programs had written everything out',
  'file-system': 'file-system: its file systems were frozen',
  crash: 'crash: as after a power cut',
  off: 'off: the machine did not run',
};

function consistencyLines({ consistency }: ShownPoint): string[] {
  if (!consistency) return [];
  const { asked, got, why } = consistency;
  const less = asked === got ? '' : ` (asked: ${asked}${why === undefined ? '' : `; ${why}`})`;
  return [fact('consistency', `${STATES[got]}${less}`)];
}

function machineLines({ description, unreadable }: ShownPoint): string[] {
  if (unreadable !== undefined) return [fact('description', `CANNOT BE READ: ${unreadable}`)];
  if (!description) return [];
  const { name, hypervisor, product, folder, uuid, arch, machineType, cpus, cpuModel } =
    description;
  const { memory, firmware, secureBoot, tpm, os, boot, nics, disks, autostart } = description;
  const inFolder = folder === undefined ? '' : ` in ${folder}`;
  const model = cpuModel === undefined ? '' : ` ${cpuModel}`;
  return [
    fact('described by', `${hypervisor} (${product})`),
    fact('its name there', `${name}${inFolder}, ${uuid}`),
    fact('processors', `${cpus} ${arch}${model}`),
    fact('memory', formatSize(memory)),
    fact('model', machineType ?? 'not known'),
    fact('firmware', `${firmware.toUpperCase()}${secureBoot ? ' with Secure Boot' : ''}`),
    ...(tpm === undefined ? [] : [fact('TPM', tpm)]),
    ...(os === undefined ? [] : [fact('system', os)]),
    ...(boot.length === 0 ? [] : [fact('boots from', boot.join(', '))]),
    ...(autostart ? [fact('starts', 'with its host')] : []),
    ...nics.map((nic) => fact('network card', nicText(nic))),
    ...disks.flatMap(({ name: disk, bus, excluded }) =>
      excluded
        ? [fact('LEFT OUT', `${disk} (${bus}), ${excluded.reason}: ${excluded.detail}`)]
        : [],
    ),
  ];
}

type Nic = NonNullable<ShownPoint['description']>['nics'][number];

function nicText({ mac, model, network, vlan, connected }: Nic): string {
  const name = network || 'a network without a name';
  const of = vlan === undefined ? name : `${name}, VLAN ${vlan}`;
  return `${mac} ${model}, ${connected ? 'connected to' : 'not connected; was for'} ${of}`;
}
