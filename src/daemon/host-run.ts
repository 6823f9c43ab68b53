import { hostHandlers, revertNetwork } from '../engine/host/host-work.ts';
import { EXIT_CODES } from '../operations/base/failure.ts';
import { realWorld } from '../sys/world.ts';
import { exitCodeOf } from './exit-code.ts';
import { lineLog } from './log.ts';
import { runSmallService } from './small-service.ts';

/**
 * Configures the machine (systemd/holdfast-hostd.service). Returns the exit code. `--revert` rolls back an unconfirmed
 * change of the network, `--revert-files` does so before networkd runs.
 */
export async function main(words: readonly string[]): Promise<number> {
  const world = realWorld();
  const journal = process.env['JOURNAL_STREAM'] !== undefined;
  const log = lineLog(world.clock, { journal, write: (line) => void process.stderr.write(line) });
  const [word, ...more] = words;
  const reverts = word === '--revert' || word === '--revert-files';
  if (more.length > 0 || (word !== undefined && !reverts)) {
    log(
      'error',
      'usage: host-main.ts [--revert | --revert-files]: see systemd/holdfast-hostd.service',
    );
    return EXIT_CODES.usage;
  }
  return exitCodeOf(log, async () => {
    if (reverts) {
      log('warning', 'a change of the network was not confirmed and is being rolled back');
      return revertNetwork(world, word === '--revert-files');
    }
    const handlers = hostHandlers(world);
    // `FileDescriptorName=` in systemd/holdfast-hostd.socket.
    const socket = 'host';
    await runSmallService({ world, log, socket, handlers, isBusy: () => false });
  });
}
