import type { Mutant } from './mutant.ts';

const COMMANDS = 'test/cli/set-passphrases.test.ts';
const PASSPHRASES = 'test/catalog/passphrases.test.ts';
const REMOVED = 'test/catalog/removal/remove-set.test.ts';

export const sets: readonly Mutant[] = [
  {
    name: 'passphrases: the former ones go before the new one has opened the set',
    file: 'src/catalog/passphrases.ts',
    text: '[...record.slots, slot]',
    to: '[slot]',
    tests: [PASSPHRASES],
  },
  {
    name: 'passphrases: a locked recovery point does not keep them',
    file: 'src/engine/operations/set-passphrases.ts',
    text: 'if (!first) return;',
    to: 'if (!first || slot.id) return;',
    tests: [COMMANDS],
  },
  {
    name: 'passphrases: the key that the service has is enough',
    file: 'src/engine/server/http-api.ts',
    text: ".keyOf === 'a person'",
    to: ".keyOf === ('nobody' as string)",
    tests: [COMMANDS],
  },
  {
    name: 'set remove: readers are not asked',
    file: 'src/catalog/removal/remove-set.ts',
    text: 'if (!own.some(({ place }) => held.has(placeOf(place)))) continue;',
    to: 'if (own.length + held.size >= 0) continue;',
    tests: [REMOVED],
  },
  {
    name: 'set remove: its blocks are spared, as those of an interrupted backup',
    file: 'src/store/sweep/sweep-packs.ts',
    text: 'pack <= (removed.get(domain) ?? 0)',
    to: 'pack <= (removed.get(domain) ?? 0) - pack',
    tests: [REMOVED],
  },
  {
    name: 'set remove: a copy brings it back',
    file: 'src/catalog/removal/removed-sets.ts',
    text: 'const now = [...before, { name, created, domain, removed, lastPack }];',
    to: 'const now = lastPack < 0 ? [{ name, created, domain, removed, lastPack }] : before;',
    tests: [REMOVED, 'test/cli/set-remove.test.ts'],
  },
];
