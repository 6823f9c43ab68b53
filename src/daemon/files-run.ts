import { openVolumes } from '../engine/files/files-work.ts';
import { realWorld } from '../sys/world.ts';
import { exitCodeOf } from './exit-code.ts';
import { lineLog } from './log.ts';
import { SETTINGS_FILE } from './settings.ts';
import { settingsFile } from './settings-file.ts';
import { runSmallService } from './small-service.ts';

/**
 * Mounts volumes of recovery points, and takes files out of them (systemd/holdfast-filesd.service). Returns the exit
 * code. Ends when no client has volumes open; when it is ended, it unmounts them.
 */
export async function main(): Promise<number> {
  const world = realWorld();
  const journal = process.env['JOURNAL_STREAM'] !== undefined;
  const log = lineLog(world.clock, { journal, write: (line) => void process.stderr.write(line) });
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => stop.abort());
  return exitCodeOf(log, async () => {
    const file = { file: SETTINGS_FILE, isNamed: false, state: process.env['STATE_DIRECTORY'] };
    const settings = settingsFile(world.files, file);
    await using volumes = openVolumes(async () => (await settings.readOrLast()).settings);
    await runSmallService({
      ...{ world, log, handlers: volumes.handlers, signal: stop.signal },
      // `FileDescriptorName=` in systemd/holdfast-filesd.socket.
      socket: 'files',
      isBusy: () => volumes.openCount > 0,
    });
  });
}
