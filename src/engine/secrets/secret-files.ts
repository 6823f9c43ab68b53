import type { IsSecret } from '../../ingest/source/image-source.ts';
import type { RequestOf } from '../../operations/operations.ts';
import { realPath } from '../../sys/files/real-path.ts';
import { SystemError } from '../../sys/base/system-error.ts';

/*
 * The service may read nearly every file of its host on behalf of its clients. With these files a client could become
 * root, or decrypt data: they are refused as disk images, whichever link leads to them. The unit hides most of them
 * as well, but not those that the service needs itself, nor a file that replaced a hidden one: a rename over it, as
 * passwd(1) does, makes the new one visible.
 */

const ALWAYS = [
  /^\/etc\/(?:g?shadow[^/]*|ssh\/.+)$/,
  /^\/var\/lib\/holdfast-box(?:\/.*)?$/,
  /^\/(?:etc|run|usr\/lib)\/cred(?:entials|store)[^/]*\/.+$/,
];

/** `more`: files and directories that the settings name. */
export async function secretsAmong(more: readonly string[]): Promise<IsSecret> {
  // This process cannot leak a file that it cannot reach.
  const real = await Promise.all(more.map((path) => realPath(path).catch(() => undefined)));
  const secret = real.filter((path) => path !== undefined);
  return (path) =>
    ALWAYS.some((it) => it.test(path)) ||
    secret.some((it) => path === it || path.startsWith(`${it}/`));
}

/**
 * Checks the files that a request itself names, before anything begins. Files that images name, and the targets of
 * links at the time of opening, are checked there (ingest/source/image-source.ts). Rejects DENIED.
 */
export async function refuseSecretFiles(
  { disks, changed }: RequestOf<'backup/create'>,
  more: readonly string[],
): Promise<void> {
  const named = disks.map(({ where }) => where);
  if (changed !== undefined) named.push(changed);
  const isSecret = await secretsAmong(more);
  for (const path of named) {
    const real = await realPath(path);
    if (real === undefined || !isSecret(real)) continue;
    throw new SystemError(
      'DENIED',
      `${path} holds secrets of this host: it is not read for a backup`,
    );
  }
}
