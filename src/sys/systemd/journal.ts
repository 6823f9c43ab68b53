import { closeSync, writeSync } from 'node:fs';
import {
  AF_UNIX,
  libc,
  SOCK_CLOSE_ON_EXEC,
  SOCK_DATAGRAM,
  SOCK_NOT_BLOCKING,
} from '../base/libc.ts';

/*
 * systemd's journal by its own protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): entries with fields, whereas a line on
 * standard error has only a priority and a text. Node has no unix datagram sockets, so system calls make one.
 */
export interface Journal {
  /** Returns whether the journal took it; never waits. Names of fields are capitals, digits and "_". */
  send(fields: Readonly<Record<string, string>>): boolean;
}

const PATH = '/run/systemd/journal/socket';
const FAMILY_LENGTH = 2;
/** sun_path in unix(7). */
const ADDRESS_LENGTH = FAMILY_LENGTH + 108;
/** A longer entry is not sent this way. */
const ENTRY_LENGTH_MAX = 64 * 1024;

/** Undefined: there is no journal. */
export function openJournal(path = PATH): Journal | undefined {
  const { socket, connect } = libc();
  const address = new Uint8Array(ADDRESS_LENGTH);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  if (Buffer.byteLength(path) >= ADDRESS_LENGTH - FAMILY_LENGTH) return undefined;
  Buffer.from(path).copy(address, FAMILY_LENGTH);
  const fd = socket(AF_UNIX, SOCK_DATAGRAM | SOCK_NOT_BLOCKING | SOCK_CLOSE_ON_EXEC, 0);
  if (fd < 0) return undefined;
  if (connect(fd, address, ADDRESS_LENGTH) !== 0) {
    closeSync(fd);
    return undefined;
  }
  return {
    send(fields) {
      const entry = entryOf(fields);
      if (entry.length > ENTRY_LENGTH_MAX) return false;
      try {
        writeSync(fd, entry);
        return true;
      } catch {
        // It is full, or no process reads it: the caller has another way.
        return false;
      }
    },
  };
}

function entryOf(fields: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(fields).flatMap(([name, value]) => {
      const bytes = Buffer.from(value);
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(bytes.length));
      // With its length, so that a line break in it cannot begin another field.
      return [Buffer.from(`${name}\n`), length, bytes, Buffer.from('\n')];
    }),
  );
}
