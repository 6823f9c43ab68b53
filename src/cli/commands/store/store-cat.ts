import { jsonText } from '../../../lib/json-text.ts';
import { argument } from '../../base/rows.ts';
import type { Engine, SecretSource } from '../../../engine/base/engine.ts';
import type { Command } from '../../base/command.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  summary: 'Show a record or a file of the store as JSON',
  about: [
    'pack NUMBER: its header and contents. manifest POINT DISK: the nodes of a disk, from the root down. ' +
      'point POINT: the record of a recovery point. set SET: the record of a backup set. profile SET ' +
      'MACHINE: what a machine reads when it boots. session SESSION: the journal of a session. overlay ' +
      'SESSION DISK: where the writes of a session lie.',
    'Always JSON, one object per line.',
  ],
  args: [
    argument('KIND', 'pack, manifest, point, set, profile, session or overlay', {
      words: ['pack', 'manifest', 'point', 'set', 'profile', 'session', 'overlay'],
    }),
    argument('NAME', 'of this pack, point, set or session', {
      names: ['points', 'sets', 'sessions'],
    }),
    argument('DISK|MACHINE', 'DISK for manifest and overlay, MACHINE for profile', {
      isRequired: false,
      names: ['disks', 'machines'],
    }),
  ],
  options: [],
  examples: ['store cat point web1@latest', 'store cat pack 17'],
  async run({ args }, { engine, secrets, output }) {
    for await (const object of show(await engine(), args, secrets)) {
      await output.part(object, () => jsonText(object));
    }
  },
};

async function* show(
  engine: Engine,
  [kind = '', name, second]: readonly string[],
  secrets: SecretSource,
): AsyncGenerator<object> {
  const { catManifest, catPack, catPoint, catProfile, catSession, catSet } = await import(
    '../../../engine/points/inspect.ts'
  );
  const { catOverlay } = await import('../../../engine/points/inspect-overlay.ts');
  switch (kind) {
    case 'pack': {
      const pack = Number(name);
      if (!Number.isInteger(pack) || pack < 0)
        throw new UsageError(`"${name}" is not a pack number`);
      return yield* catPack(engine, pack);
    }
    case 'manifest':
      return yield* catManifest(engine, { point: name!, disk: needed(second, 'DISK') }, secrets);
    case 'point':
      return yield await catPoint(engine, name!, secrets);
    case 'set':
      return yield await catSet(engine, name!);
    case 'profile':
      return yield await catProfile(
        engine,
        { set: name!, machine: needed(second, 'MACHINE') },
        secrets,
      );
    case 'session':
      return yield await catSession(engine, name!);
    case 'overlay':
      return yield* catOverlay(engine, { session: name!, disk: needed(second, 'DISK') });
    default:
      throw new UsageError(`"${kind}" is not a kind of record: see "holdfast store cat --help"`);
  }
}

function needed(value: string | undefined, what: string): string {
  if (value !== undefined) return value;
  throw new UsageError(`${what} is missing: see "holdfast store cat --help"`);
}
