import { type DiskFiles } from '../../src/file-restore/volumes/disk-files.ts';
import { listDirectory } from '../../src/file-restore/browse/browse.ts';
import { makeDirectories, openVolumes } from '../../src/file-restore/mounting/opened-volumes.ts';
import { systemClock } from '../../src/sys/base/clock.ts';
import { enterPrivateMounts } from '../../src/sys/process/mount-namespace.ts';

/*
 * A process that opens volumes in mounts of its own, prints the names at their tops, and then waits to be
 * killed: one-shot.ts PLACE DISK [PARTITION...]
 */
const [place, path, ...parts] = process.argv.slice(2) as [string, string, ...string[]];
await enterPrivateMounts(place);
const disk: DiskFiles = { disk: 'vda', path, partition: (number) => parts[number - 1]! };
await makeDirectories([`${place}/volumes`, `${place}/work`]);
const opened = await openVolumes([disk], {
  directory: `${place}/volumes`,
  work: `${place}/work`,
  isolated: false,
  noFollow: true,
  wanted: undefined,
  disk: undefined,
  clock: systemClock(),
  keys: async () => undefined,
});
const names: string[] = [];
for (const { volume, path } of opened.mounted) {
  for await (const entry of listDirectory(path, '')) names.push(`${volume.name}:${entry.path}`);
}
process.stdout.write(`${JSON.stringify(names.toSorted())}\n`);
setInterval(() => {}, 1000);
