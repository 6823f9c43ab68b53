import type { Mutant } from './mutant.ts';

const KEPT = 'test/catalog/proofs.test.ts';
const FORMAT = 'test/formats/store/proof.test.ts';

export const proofs: readonly Mutant[] = [
  {
    name: 'proofs: the record is written before its evidence is durable',
    file: 'src/catalog/proofs.ts',
    text: '  await putDurably(files, paths.evidence(number), bytes);\n',
    to: '  queueMicrotask(() => void putDurably(files, paths.evidence(number), bytes).catch(() => {}));\n',
    tests: [KEPT],
  },
  {
    name: 'proofs: evidence that no record names stays',
    file: 'src/catalog/proofs.ts',
    text: '  await dropUnnamed(store, record);\n',
    to: '',
    tests: [KEPT],
  },
  {
    name: 'proofs: a number that a crash has used is used again',
    file: 'src/catalog/proofs.ts',
    text: 'const number = 1 + (await lastNumber(store, place));',
    to: 'const number = 1 + (before[0]?.number ?? 0);',
    tests: [KEPT],
  },
  {
    name: 'proofs: those of a forgotten point stay',
    file: 'src/catalog/removal/forget-point.ts',
    text: '  await dropProofs(store, set, forgotten);\n',
    to: '',
    tests: [KEPT],
  },
  {
    name: 'proofs: the digest of evidence is not looked at',
    file: 'src/formats/store/catalog/proof-evidence.ts',
    text: '    codec.open(frame, plain, digest);\n',
    to: '    codec.open(frame, plain, frame.subarray(16, 48));\n',
    tests: [FORMAT],
  },
];
