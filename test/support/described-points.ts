import { openEngine, openSet, type SecretSource } from '../../src/engine/base/engine.ts';
import { encodeMachine, type MachineDescription } from '../../src/formats/store/catalog/machine.ts';
import type { PointRecord } from '../../src/formats/store/catalog/point.ts';
import { backup } from '../../src/ingest/backup/backup.ts';
import type { MachineNotes } from '../../src/ingest/backup/store-machine.ts';
import { MACHINE } from './machine-description.ts';

const keyOf =
  (passphrase: string): SecretSource =>
  async () => ({ kind: 'passphrase', passphrase: Buffer.from(passphrase) });

/** A definition as libvirt has it, with what must not lie about in the clear. */
export const DEFINITION =
  "<domain type='kvm'>\n  <name>web1</name>\n\t<graphics passwd='geheim'/>\n</domain>\n";

/** What a hypervisor's backup notes on its recovery points. */
export function notesOf(machine: MachineDescription = MACHINE): MachineNotes {
  return {
    files: [
      { name: 'machine.json', kind: 'description', bytes: encodeMachine(machine) },
      { name: 'definition.xml', kind: 'definition', bytes: Buffer.from(DEFINITION) },
      { name: 'nvram.fd', kind: 'firmware-vars', bytes: new Uint8Array(540_672).fill(0xff) },
    ],
    consistency: { asked: 'file-system', got: 'crash', why: 'the guest agent does not answer' },
    run: 'run-1',
    tracking: { kind: 'libvirt', checkpoint: 'holdfast-1' },
  };
}

/** A recovery point in the set `nightly` of a store that the command line made, as from a hypervisor. */
export async function backUpDescribed(
  store: string,
  machine: string,
  {
    image,
    notes = notesOf(),
    passphrase = 'correct horse',
  }: { readonly image: string; readonly notes?: MachineNotes; readonly passphrase?: string },
): Promise<PointRecord> {
  await using engine = await openEngine(store);
  const set = await openSet(engine, 'nightly', keyOf(passphrase));
  const disks = [{ name: 'vda', where: image, format: undefined }];
  return await backup(engine.store, {
    ...{ set, machine, disks, workers: 1, onEvent() {}, ...notes },
    isSecret: () => false,
  });
}
