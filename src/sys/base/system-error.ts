import { CodedError } from '../../lib/coded-error.ts';

/**
 * NOT_FOUND, EXISTS, NO_SPACE (also a quota), DENIED (permissions, read-only), BUSY (held by another process),
 * UNREACHABLE (no such peer, or it went away), FAILED (a program ended badly), INVALID (the request makes no sense),
 * CORRUPT (a log of ours is damaged), IO (the rest).
 */
export type SystemErrorCode =
  | 'NOT_FOUND'
  | 'EXISTS'
  | 'NO_SPACE'
  | 'DENIED'
  | 'BUSY'
  | 'UNREACHABLE'
  | 'FAILED'
  | 'INVALID'
  | 'CORRUPT'
  | 'IO';

/** A failure of the outside world; `cause` is the error of Node or the kernel. */
export class SystemError extends CodedError<SystemErrorCode> {
  override readonly name = 'SystemError';
}

/** Our code, and a text for people, by the code of the kernel or the resolver (errno(3)). */
const MEANINGS: Readonly<Record<string, readonly [SystemErrorCode, string]>> = {
  ENOENT: ['NOT_FOUND', 'there is no such file or directory'],
  ENOTDIR: ['NOT_FOUND', 'a part of the path is not a directory'],
  ENXIO: ['NOT_FOUND', 'there is no such device'],
  ENODEV: ['NOT_FOUND', 'there is no such device'],
  EEXIST: ['EXISTS', 'it exists already'],
  ENOTEMPTY: ['EXISTS', 'the directory is not empty'],
  ENOSPC: ['NO_SPACE', 'the disk is full'],
  EDQUOT: ['NO_SPACE', 'the quota is used up'],
  EACCES: ['DENIED', 'permission denied'],
  EPERM: ['DENIED', 'it is not permitted'],
  EROFS: ['DENIED', 'the file system is read-only'],
  EBUSY: ['BUSY', 'it is in use'],
  EAGAIN: ['BUSY', 'its queue is full'],
  ETXTBSY: ['BUSY', 'the program is running'],
  EADDRINUSE: ['BUSY', 'another program listens at that address'],
  EAFNOSUPPORT: ['INVALID', 'this host has no addresses of that kind'],
  EADDRNOTAVAIL: ['INVALID', 'this host has no such address'],
  EISDIR: ['INVALID', 'it is a directory'],
  ENAMETOOLONG: ['INVALID', 'the name is too long'],
  ELOOP: ['INVALID', 'it is a symbolic link where none is allowed, or links lead in a circle'],
  ECONNREFUSED: ['UNREACHABLE', 'no program listens there'],
  ECONNRESET: ['UNREACHABLE', 'the other side ended the connection'],
  EPIPE: ['UNREACHABLE', 'the other side has gone'],
  EHOSTUNREACH: ['UNREACHABLE', 'there is no route to that host'],
  ENETUNREACH: ['UNREACHABLE', 'there is no route to that network'],
  ENOTFOUND: ['UNREACHABLE', 'no host has that name'],
  EAI_AGAIN: ['UNREACHABLE', 'no name server answers'],
  ETIMEDOUT: ['UNREACHABLE', 'there was no answer in time'],
  EFBIG: ['IO', 'the file is larger than is allowed there'],
  EIO: ['IO', 'the device has failed'],
  EMFILE: ['IO', 'this process has too many files open'],
  ENFILE: ['IO', 'this host has too many files open'],
  ENOMEM: ['IO', 'there is not enough memory'],
  ERR_WORKER_INIT_FAILED: ['IO', 'there is no room for more processes or threads'],
  DEPTH_ZERO_SELF_SIGNED_CERT: [
    'UNREACHABLE',
    'its certificate is self-signed, and not trusted here (--cafile)',
  ],
  SELF_SIGNED_CERT_IN_CHAIN: [
    'UNREACHABLE',
    'its authority is self-signed, and not trusted here (--cafile)',
  ],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: [
    'UNREACHABLE',
    'the authority of its certificate is not known (--cafile)',
  ],
  CERT_HAS_EXPIRED: ['UNREACHABLE', 'its certificate has expired'],
};

/** Turns an error of a Node call into a SystemError; `what` names the action and its object. */
export function systemError(cause: unknown, what: string): SystemError {
  if (cause instanceof SystemError) return cause;
  const name = (cause as NodeJS.ErrnoException | null)?.code ?? '';
  const [code, words] = MEANINGS[name] ?? ['IO', undefined];
  const detail = cause instanceof Error ? cause.message : String(cause);
  // People find the name in manuals and reports.
  return new SystemError(code, `${what}: ${words === undefined ? detail : `${words} (${name})`}`, {
    cause,
  });
}
