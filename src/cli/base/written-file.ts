import { realFileSystem } from '../../sys/files/real-file-system.ts';

/** Creates a file with these bytes, whole or not at all: a part would look like a result, and block the next one. */
export async function writeNewFile(to: string, bytes: Uint8Array): Promise<void> {
  const files = realFileSystem();
  await using file = await files.create(to);
  try {
    await file.write(bytes, 0);
    await file.sync();
  } catch (cause) {
    await files.unlink(to);
    throw cause;
  }
}
