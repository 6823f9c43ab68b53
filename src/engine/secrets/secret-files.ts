import type { IsSecret } from '../../ingest/source/image-source.ts';
import type { RequestOf } from '../../operations/operations.ts';
import { realPath } from '../../sys/files/real-path.ts';
import { SystemError } from '../../sys/base/system-error.ts';

/*
 * The service may read nearly every file of its host, for whoever may ask it. With these somebody could become root,
 * or read what is encrypted: they are no disk images, whatever link leads to them. The unit hides most of them as
 * well, but not those that the service needs itself, nor what has taken a hidden file's place: a rename over it, as
 * passwd(1) does, brings the new one to light.
 */

const ALWAYS = [
  /^\/etc\/(?:g?shadow[^/]*|ssh\/.+)$/,
  /^\/var\/lib\/holdfast-box(?:\/.*)?$/,
  /^\/(?:etc|run|usr\/lib)\/cred(?:entials|store)[^/]*\/.+$/,
];

/** `more`: files and directories that the settings name. */
export async function secretsAmong(more: readonly string[]): Promise<IsSecret> {
  // What this process cannot reach it gives to nobody.
  const real = await Promise.all(more.map((path) => realPath(path).catch(() => undefined)));
  const secret = real.filter((path) => path !== undefined);
  return (path) =>
    ALWAYS.some((it) => it.test(path)) ||
    secret.some((it) => path === it || path.startsWith(`${it}/`));
}

/**
 * Of what a request names itself, before anything is begun. What its images name, and where links lead by the time
 * that they are opened, is seen there (ingest/source/image-source.ts). Rejects DENIED.
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
