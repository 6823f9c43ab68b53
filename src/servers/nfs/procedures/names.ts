import { FormatError } from '../../../formats/format-error.ts';
import { PATH_LENGTH_MAX, STATUS } from '../../../formats/wire/nfs3.ts';
import { decodeText, type XdrReader } from '../../../formats/wire/xdr.ts';
import { NfsFailure } from '../rpc/failure.ts';
import { NAME_MAX } from './nfs-limits.ts';

/*
 * Names and paths in arguments. One that is not UTF-8 is refused with an error that its procedure may return (RFC
 * 1813, 3.3): GARBAGE_ARGS would blame the client's RPC.
 */

/** The name of a new file. INVAL. */
export function readName(args: XdrReader): string {
  return readText(args, NAME_MAX, STATUS.invalid);
}

/** The name of an existing file. NOENT: an invalid name never exists, and LOOKUP and REMOVE do not answer INVAL. */
export function readExistingName(args: XdrReader): string {
  return readText(args, NAME_MAX, STATUS.notFound);
}

/** The path to mount, or the target of a symbolic link. INVAL. */
export function readPath(args: XdrReader): string {
  return readText(args, PATH_LENGTH_MAX, STATUS.invalid);
}

function readText(args: XdrReader, lengthMax: number, status: number): string {
  const bytes = args.opaque(lengthMax);
  try {
    return decodeText(bytes);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new NfsFailure(status, cause.message, { cause });
  }
}
