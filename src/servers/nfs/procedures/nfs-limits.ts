import { ATTRIBUTES_LENGTH, NAME_LENGTH_MAX, PATH_LENGTH_MAX } from '../../../formats/wire/nfs3.ts';
import { KiB, MiB } from '../../../lib/sizes.ts';
import { FILE_HANDLE_LENGTH } from '../exports/handles.ts';

/** Largest READ and WRITE. */
export const TRANSFER_LENGTH_MAX = MiB;
/** Largest reply to READDIR and READDIRPLUS. */
export const DIRECTORY_LENGTH_MAX = 64 * KiB;

/* The largest lengths of the parts of replies. */

/** post_op_attr. */
export const AFTER_LENGTH = 4 + ATTRIBUTES_LENGTH;
/** wcc_data. */
export const CHANGE_LENGTH = 28 + AFTER_LENGTH;
export const HANDLE_LENGTH = 4 + FILE_HANDLE_LENGTH;

/** A longer name is answered with NAMETOOLONG, and a much longer one is not a valid argument. */
export const NAME_MAX = NAME_LENGTH_MAX + PATH_LENGTH_MAX;
