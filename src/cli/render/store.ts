import { formatSize } from '../../lib/sizes.ts';
import type { ResultOf } from '../../operations/operations.ts';
import type { CheckResult } from '../../operations/nouns/store.ts';
import { DamageFound, KeyDoesNotFit } from '../base/command-errors.ts';
import type { Renders } from './render.ts';

export const render = {
  'store/usage': ({ space, growth, saving, reclaimable }) =>
    [
      `space     ${formatSize(space.freeBytes)} free of ${formatSize(space.totalBytes)}`,
      `growth    ${growthText(growth)}`,
      `full      ${growth.fullAt ?? '-'}`,
      `saving    ${formatSize(saving.readBytes)} read, ${formatSize(saving.storedBytes)} stored ` +
        `(recovery points: ${saving.points})`,
      ...(reclaimable ? reclaimableLines(reclaimable) : []),
    ].join('\n'),
  'store/check': {
    text: checkText,
    failure({ problems: { length }, wrongKey }) {
      if (length > 0) {
        const count = length === 1 ? '1 problem' : `${length} problems`;
        return new DamageFound(`${count}: see above; docs/trust.md says what to do about each`);
      }
      return wrongKey.length > 0
        ? new KeyDoesNotFit('the given key opens no set: their manifests were not checked')
        : undefined;
    },
  },
  'store/scrub': {
    text: scrubText,
    failure: ({ problems: { length }, wanted }) =>
      length + wanted > 0
        ? new DamageFound(
            `${length === 1 ? '1 problem' : `${length} problems`}, ${wanted} blocks and manifest parts damaged or ` +
              'missing: see above; docs/trust.md says what to do about each',
          )
        : undefined,
  },
  'store/repair': {
    text: repairText,
    failure: ({ lost, hurt, wanted }) =>
      lost.length + hurt.length + wanted > 0
        ? new DamageFound(
            `${lost.length} files, ${wanted} blocks and manifest parts are lost: see above`,
          )
        : undefined,
  },
  'store/sweep': {
    text: sweepText,
    failure({ held, damage }) {
      const isAll = damage.length + held.length === 0;
      return isAll ? undefined : new DamageFound('not all could be swept: see above');
    },
  },
  'store/upgrade'({ store, features, upgraded }) {
    if (features.length === 0) return `${store} has all features of this release.`;
    return [
      upgraded ? `${store} is upgraded. It has now:` : `${store} lacks these features:`,
      ...features.map(({ feature, changes }) => `  ${feature}: ${changes}`),
      ...(upgraded
        ? []
        : [
            'To upgrade it, add --yes. Earlier releases of Holdfast can then no longer use the store.',
          ]),
    ].join('\n');
  },
} satisfies Renders;

function reclaimableLines({
  bytes,
  byCopying,
  sets,
}: NonNullable<ResultOf<'store/usage'>['reclaimable']>): string[] {
  const lines = sets.map((it) => `          ${it.sets.join(', ')}: ${formatSize(it.bytes)}`);
  const copies = byCopying > 0 ? `, ${formatSize(byCopying)} of it by copying packs` : '';
  return [`sweep     would give back ${formatSize(bytes)}${copies}`, ...lines];
}

function growthText({ since, bytesPerDay }: ResultOf<'store/usage'>['growth']): string {
  if (bytesPerDay === null) {
    return since === null
      ? 'not known: only the service measures the disk'
      : `not known yet: the service has measured the disk since ${since}, and needs a day`;
  }
  const size = formatSize(Math.abs(bytesPerDay));
  return bytesPerDay < 0 ? `${size} a day less` : `${size} a day`;
}

const LOCKED =
  'its recovery points, and what guests of its sessions wrote, are checked only with its key (--passphrase-file)';

function checkText(result: CheckResult): string {
  const { packs, frames, bytes, points, locked, problems, plainSessions, strays } = result;
  const size = formatSize(bytes);
  return [
    `recovery points: ${points}; packs: ${packs} (${size}, ${frames} blocks and nodes)`,
    ...locked.map((set) => `set "${set}" is locked: ${LOCKED}`),
    ...problems.map(({ where, what }) => `DAMAGED ${where}: ${what}`),
    ...plainSessions.map(
      (id) => `session ${id}: written in plain text by an older version, until it ends`,
    ),
    ...strays.map((path) => `not a file of Holdfast, and not used: ${path}`),
    ...(problems.length === 0 ? [foundText(locked.length)] : []),
  ].join('\n');
}

function scrubText({ packs, bytes, started, ended, ...result }: ResultOf<'store/scrub'>): string {
  const { donePacks, allPacks, opened, summed, unverified, problems, wanted, hurt } = result;
  return [
    `packs read: ${packs} (${formatSize(bytes)}); of the pass that began at ${started ?? '-'}: ` +
      `${donePacks} of ${allPacks}${ended === null ? '' : `, ended at ${ended}`}`,
    `blocks and nodes: ${opened} decoded, ${summed} by checksum only`,
    ...unverified.map(({ what, why }) => `not verified: ${what}: ${why}`),
    ...problems.map(({ where, what }) => `DAMAGED ${where}: ${what}`),
    ...hurtText(hurt),
    ...(wanted > 0
      ? [
          `damaged or missing: ${wanted} blocks and manifest parts. ` +
            advice([...new Set(hurt.map((it) => it.machine))]),
        ]
      : []),
    ...(problems.length === 0 && wanted === 0 ? [foundText(unverified.length)] : []),
  ].join('\n');
}

function repairText(result: ResultOf<'store/repair'>): string {
  const { dryRun, mended, lost, locked, hurt, wanted, machines } = result;
  const isWhole = lost.length + hurt.length + wanted === 0;
  const isAll = isWhole && locked.length === 0;
  return [
    ...mended.map(({ where, what }) => `${dryRun ? 'would repair' : 'repaired'} ${where}: ${what}`),
    ...lost.map(({ where, what }) => `LOST ${where}: ${what}`),
    ...locked.map((set) => `set "${set}" is locked: ${UNSEEN}`),
    ...hurtText(hurt),
    ...machines.map(
      ({ set, machine, blocks }) =>
        `back up ${machine} to set "${set}" in full: up to ${blocks} lost blocks can be stored again`,
    ),
    ...(wanted > 0 && hurt.length === 0 ? [unnamed(wanted)] : []),
    ...(isWhole && mended.length === 0 ? [foundText(locked.length)] : []),
    ...(isAll && mended.length > 0 && !dryRun ? ['All damage that was found is repaired.'] : []),
  ].join('\n');
}

const UNSEEN = 'what of it is lost is found only with its key (--passphrase-file)';

function unnamed(wanted: number): string {
  const what = `${wanted} blocks and manifest parts are damaged or missing`;
  return `${what}. To see which machines to back up, give the keys of all sets (--passphrase-file)`;
}

function hurtText(hurt: ResultOf<'store/scrub'>['hurt']): string[] {
  return hurt.flatMap(({ set, point, disk, bytes, places, blocks, nodes }) => [
    `AFFECTED ${set}/${point}/${disk}: ${formatSize(bytes)} cannot be read (${blocks} blocks, ${nodes} nodes)`,
    ...places.slice(0, PLACES_SHOWN).map((it) => `  at ${it.offset}: ${it.length} bytes`),
  ]);
}

/** In the text; --json has more. */
const PLACES_SHOWN = 5;

function advice(machines: readonly string[]): string {
  const of = machines.length > 0 ? ` of ${machines.join(', ')}` : '';
  return `A full backup${of} stores again what the machine still has`;
}

function foundText(locked: number): string {
  return locked === 0 ? 'No damage found.' : 'No damage found in the parts that need no key.';
}

function sweepText(result: ResultOf<'store/sweep'>): string {
  const { dryRun, packs, sweptPacks, removedPacks, freedBytes, sets, held, damage } = result;
  const { copiedPacks, copyFreedBytes } = result;
  const stays = sets.reduce((sum, { sparedBytes }) => sum + sparedBytes, 0);
  const verb = dryRun ? 'would be given back' : 'given back';
  return [
    `${formatSize(freedBytes)} ${verb}: ${removedPacks} of ${packs} packs as a whole, ${sweptPacks} in part`,
    ...(copiedPacks > 0
      ? [`${formatSize(copyFreedBytes)} of it by copying what is needed of ${copiedPacks} packs`]
      : []),
    ...sets.map(
      (it) =>
        `  ${it.sets.join(', ')}: ${formatSize(it.freedBytes)} ${verb}, ${formatSize(it.liveBytes)} needed`,
    ),
    ...(stays > 0
      ? [`${formatSize(stays)} of interrupted backups stay for seven days: a repetition uses them`]
      : []),
    ...(result.leftBytes > 0
      ? [`${formatSize(result.leftBytes)} that nothing needs stay occupied${leftReason(result)}`]
      : []),
    ...held.map(
      (it) =>
        `KEPT all of ${it.sets.join(', ')}: ${it.where}: ${it.what}${it.needsKey ? KEY_HELPS : ''}`,
    ),
    ...damage.map(({ where, what }) => `DAMAGED ${where}: ${what}`),
  ].join('\n');
}

const KEY_HELPS =
  '; to create it, repeat the sweep with the key of the set (--passphrase-file FILE)';

function leftReason({ freesHoles }: ResultOf<'store/sweep'>): string {
  return freesHoles
    ? ': parts of pages, and packs with too little to give back'
    : ': packs with too little to give back, and packs for whose copy the disk has no space';
}
