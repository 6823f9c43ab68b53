import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import { messageFile, type MessageRecord } from '../formats/store/service/alarm.ts';
import { turns } from '../lib/mutex.ts';
import type { FileSystem } from '../sys/files/file-system.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import { SystemError } from '../sys/base/system-error.ts';

/** Messages in memory and on the disk. A message that cannot be written still counts, until the service ends. */
export interface Messages {
  readonly size: number;
  /** The oldest first. */
  list(): MessageRecord[];
  keep(message: MessageRecord): Promise<void>;
  remove(id: string): Promise<void>;
}

const LENGTH_MAX = 64 * 1024;
const RECORD = '.json';

/** Rejects SystemError. */
export async function openMessages(
  files: FileSystem,
  directory: string,
  onTrouble: (message: string) => void,
): Promise<Messages> {
  const messages = new Map<string, MessageRecord>();
  const turn = turns();
  const pathOf = (id: string): string => join(directory, id + RECORD);
  let isDirectoryDurable = false;
  const names = (await files.stat(directory)) ? await files.list(directory) : [];
  for (const name of names) {
    if (!name.endsWith(RECORD)) continue;
    const path = join(directory, name);
    try {
      const message = messageFile.decode(await files.readFile(path, LENGTH_MAX));
      // Once it is sent the file of its ID is removed: that has to be this one.
      if (message.id + RECORD !== name) {
        throw new FormatError('CORRUPT', `it is the record of "${message.id}"`);
      }
      messages.set(message.id, message);
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      onTrouble(`a message that waited is lost: ${path}: ${cause.message}`);
      await files.unlink(path);
    }
  }
  async function tried(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await turn(work);
    } catch (cause) {
      if (!(cause instanceof SystemError)) throw cause;
      onTrouble(`a message cannot be ${what}: ${cause.message}`);
    }
  }
  /** Done with the first message, so that a start need not wait for the disk. */
  async function makeDirectoryDurable(): Promise<void> {
    if (isDirectoryDurable) return;
    await files.makeDirectory(directory);
    for (const parent of ['..', '../..']) await files.syncDirectory(join(directory, parent));
    isDirectoryDurable = true;
  }
  return {
    get size() {
      return messages.size;
    },
    list: () => [...messages.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
    async keep(message) {
      messages.set(message.id, message);
      const bytes = messageFile.encode(message, 'checked');
      await tried('kept', async () => {
        await makeDirectoryDurable();
        await putDurably(files, pathOf(message.id), bytes);
      });
    },
    async remove(id) {
      messages.delete(id);
      await tried('removed', async () => {
        if (!(await files.stat(pathOf(id)))) return;
        await files.unlink(pathOf(id));
        await files.syncDirectory(directory);
      });
    },
  };
}
