import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'tap';
import { memoryDevice } from '../../../src/block/memory.ts';
import { encodeMachine } from '../../../src/formats/store/catalog/machine.ts';
import { sessionDamage } from '../../../src/sessions/check/session-check.ts';
import { machineFiles } from '../../../src/sessions/guest/machine-files.ts';
import { machineOf } from '../../../src/sessions/guest/read-machine.ts';
import { startSession } from '../../../src/sessions/state/held-session.ts';
import { sessionDirectory } from '../../../src/sessions/state/session-files.ts';
import { treeSealOf } from '../../../src/sessions/state/session-overlays.ts';
import { sessionSpace } from '../../../src/sessions/state/session-space.ts';
import { openSessionTree } from '../../../src/vfs/session-tree.ts';
import { MACHINE } from '../../support/machine-description.ts';
import { noise } from '../../support/random.ts';
import { newStore, simulatedWorld, storePoint } from '../../support/store.ts';

const VARIABLES = noise(528 * 1024, 8);
const TPM_STATE = noise(6000, 9);

async function place() {
  const world = simulatedWorld();
  const { store, set } = await newStore(world, { passphrase: 'correct horse' });
  const files = [
    { name: 'machine.json', kind: 'description', bytes: encodeMachine(MACHINE) },
    { name: 'nvram.fd', kind: 'firmware-vars', bytes: VARIABLES },
    { name: 'tpm', kind: 'tpm-state', bytes: TPM_STATE },
  ] as const;
  const point = await storePoint(store, set, noise(2 ** 20, 1), { notes: { files } });
  return { world, store, set, point };
}

test('a session has the states of firmware and TPM beside its disks, and a check without the key knows', async () => {
  const { world, store, set, point } = await place();
  const about = await machineOf(store, { set, point }, (what) => {
    throw new Error(what);
  });
  deepEqual(about.machine, MACHINE);
  const options = { listen: undefined, tls: false, nfs: undefined, whenFull: 'refuse' } as const;
  await using session = await startSession(store, point, options);
  const { record } = session;
  const directory = sessionDirectory(store, record.id);
  {
    await using tree = await openSessionTree({
      ...{ files: world.files, clock: world.clock, random: world.random, directory },
      ...{ first: machineFiles(record, about), space: sessionSpace(store, record) },
      ...{ seal: treeSealOf(record, set.keys) },
      disks: new Map([['vda', memoryDevice(noise(2 ** 20, 1))]]),
    });
    for (const [name, contents] of [
      ['vm_VARS.fd', VARIABLES],
      ['vm_TPM.permall', TPM_STATE],
    ] as const) {
      const id = tree.lookup(tree.root, name)!;
      const bytes = new Uint8Array(tree.node(id)!.size);
      await tree.read(id, bytes, 0);
      equal(Buffer.compare(bytes, contents), 0);
      // Only root reads it, where the export lets it.
      equal(tree.node(id)!.mode & 0o777, 0o600);
    }
  }
  deepEqual(await sessionDamage(store, record), []);
  // A crash before its log was there leaves only files that are made again.
  await world.files.unlink(`${directory}/files.log`);
  deepEqual(await sessionDamage(store, record), []);
});

test('a machine that the store has lost is reported, and its disks are run without it', async () => {
  const { store, set, point } = await place();
  const [description, variables] = point.files!;
  const reference = { ...description!.reference!, digest: noise(32, 9) };
  const lost: string[] = [];
  const files = [{ ...description!, reference }, variables!];
  const about = await machineOf(store, { set, point: { ...point, files } }, (what) => {
    lost.push(what);
  });
  equal(about.machine, undefined);
  equal(about.variables?.length, VARIABLES.length);
  equal(lost.length, 1);
  match(lost[0]!, /pack/);
});
