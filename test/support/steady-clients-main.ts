import { existsSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { openNbdDisk } from '../../src/block/nbd-client/nbd-disk.ts';
import { lookup, read } from './nfs-calls.ts';
import { rpcClient } from './nfs-client.ts';

// A program: reads a disk over NBD and over NFS, again and again, coming back whenever its connection ends, as guests
// and hosts do. It writes what it has seen to a file (and how often), until there is one that tells it to stop.
//
//   steady-clients-main.ts NBD-URI NFS-PORT NFS-DIRECTORY STOP-FILE SEEN-FILE

const [uri, port, directory, stop, into] = process.argv.slice(2) as [string, ...string[]];
const seen: Record<string, number> = {};

function note(what: string): void {
  seen[what] = (seen[what] ?? 0) + 1;
}

async function steadily(name: string, work: () => Promise<void>): Promise<void> {
  while (!existsSync(stop!)) {
    await work().then(
      () => note(`${name} read`),
      (cause: unknown) => note(`${name}: ${(cause as Error).message}`),
    );
    writeFileSync(into!, JSON.stringify(seen));
    await sleep(10);
  }
}

/** Where the disk was found the first time: a host that has it mounted does not look again. */
let disk: Uint8Array | undefined;

async function overNfs(): Promise<void> {
  await using client = await rpcClient(Number(port));
  if (!disk) {
    const { handle } = await client.mount(directory!);
    disk = (await lookup(client, handle, 'vda.raw')).handle;
  }
  const { status, count } = await read(client, disk, 0, 4096);
  if (status !== 0 || count !== 4096) throw new Error(`status ${status}, ${count} bytes`);
}

async function overNbd(): Promise<void> {
  await using device = await openNbdDisk(uri);
  await device.read(new Uint8Array(4096), 0);
}

await Promise.all([steadily('NFS', overNfs), steadily('NBD', overNbd)]);
// Calls that were never answered have timers.
process.exit();
