import type { Mutant } from './mutant.ts';

const EXPORTS = 'test/ingest/exports/exports.test.ts';
const CHECKS = 'test/ingest/exports/import-checks.test.ts';
const DAMAGE = 'test/ingest/exports/damage.test.ts';
const CRASH = 'test/ingest/exports/crash.test.ts';

export const exports: readonly Mutant[] = [
  {
    name: 'import: a block is stored without a look at its digest',
    file: 'src/ingest/exports/imported-frames.ts',
    text: 'codec.open(frame, plain.subarray(0, plainLength), digest);',
    to: 'plain.fill(plainLength);',
    tests: [EXPORTS],
  },
  {
    name: 'import: a node whose children are missing is stored',
    file: 'src/ingest/exports/imported-frames.ts',
    text: 'if (!child) return;',
    to: 'if (!child) continue;',
    tests: [DAMAGE],
  },
  {
    name: 'import: nodes keep the places of the other store',
    file: 'src/ingest/exports/imported-frames.ts',
    text: 'here.push({ ...entry, ...child });',
    to: 'here.push(entry);',
    tests: [EXPORTS],
  },
  {
    name: 'import: a point is published before what it needs is durable',
    file: 'src/ingest/exports/read-import.ts',
    text: 'await writer.commit();',
    to: 'await writer.drained();',
    tests: [CRASH],
  },
  {
    name: 'import: a point may be older than those of its machine',
    file: 'src/catalog/publication.ts',
    text: 'if (sequence > 1 && point.sequence < sequence) {',
    to: 'if (sequence > 1 && point.sequence < 0) {',
    tests: [CHECKS],
  },
  {
    name: 'import: the time of a point does not count',
    file: 'src/catalog/publication.ts',
    text: 'let isNewest = !newest || !isBefore(point, newest.record);',
    to: 'let isNewest = true;',
    tests: [CHECKS],
  },
  {
    name: 'import: a set is not compared again under the lock',
    file: 'src/ingest/exports/read-import.ts',
    text: 'if (isBegun) requireSameSet(',
    to: 'if (isBegun) void (',
    tests: [CHECKS],
  },
  {
    name: 'export: bytes behind the end are not noticed',
    file: 'src/ingest/exports/export-reader.ts',
    text: 'await checkRest(input, note);',
    to: '',
    tests: [EXPORTS, DAMAGE],
  },
  {
    name: 'export: records that are missing are not noticed',
    file: 'src/ingest/exports/export-reader.ts',
    text: 'if (head.number !== next && !(isGapKnown && head.number > next)) {',
    to: 'if (head.number < next) {',
    tests: [DAMAGE],
  },
  {
    name: 'export: the body of a record is not checked',
    file: 'src/ingest/exports/export-reader.ts',
    text: 'checkExportBody(head, body);',
    to: '',
    tests: [DAMAGE],
  },
];
