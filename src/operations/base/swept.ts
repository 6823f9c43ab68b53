import { field, flag, list, nullable, object } from '../../lib/schema.ts';
import { count, damage, MANY, prose, word } from './fields.ts';

/* What sweeps give back. */

const sharedSets = field(
  list(word, MANY),
  'names of the sets: those without encryption share their blocks',
);

/** What a sweep would give back. */
export const reclaimable = field(
  nullable(
    object({
      bytes: field(count, 'space that "store sweep" gives back'),
      byCopying: field(
        count,
        'of that, what it gives back by copying packs, which takes space first',
      ),
      sets: field(
        list(object({ sets: sharedSets, bytes: field(count, 'of that, of these sets') }), MANY),
        'by sets',
      ),
    }),
  ),
  'what a sweep would give back; null: it was not asked for',
);

const sweptBytes = {
  liveBytes: field(count, 'bytes that recovery points or readers need'),
  deadBytes: field(count, 'bytes that none of them needs'),
  freedBytes: field(count, 'space that was given back; with "dryRun": that would be'),
  copyFreedBytes: field(count, 'of that, what copying packs gives back'),
  sparedBytes: field(
    count,
    'bytes that an interrupted backup has left: they stay for seven days, so that its repetition finds them',
  ),
  leftBytes: field(
    count,
    'bytes that nothing needs and that stay occupied: parts of pages, packs with few of them, and packs whose ' +
      'copy has no space',
  ),
};

export const sweepResult = object({
  dryRun: field(flag(), 'whether nothing was removed'),
  packs: field(count, 'packs looked at'),
  sweptPacks: field(count, 'packs of which a part was given back'),
  removedPacks: field(count, 'packs that were removed'),
  copiedPacks: field(count, 'packs of which the rest was copied to other packs'),
  freedBytes: sweptBytes.freedBytes,
  copyFreedBytes: sweptBytes.copyFreedBytes,
  leftBytes: sweptBytes.leftBytes,
  freesHoles: field(
    flag(),
    'whether the file system frees parts of files; if not, packs are copied or removed',
  ),
  sets: field(list(object({ sets: sharedSets, ...sweptBytes }), MANY), 'the same, by sets'),
  held: field(
    list(
      object({
        sets: sharedSets,
        where: field(prose, 'a file of the store, or a recovery point'),
        what: field(prose, 'what is wrong with it'),
        needsKey: field(flag(), 'whether a sweep with the key of the set makes it good'),
      }),
      MANY,
    ),
    'reasons for which nothing of these sets was removed',
  ),
  damage,
});
