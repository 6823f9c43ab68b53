import { FormatError } from '../formats/format-error.ts';
import { parseCommentedJson } from '../formats/commented-json.ts';
import {
  integer,
  list,
  object,
  type Of,
  optional,
  parse,
  record,
  SchemaError,
  text,
  variants,
  withDefault,
} from '../lib/schema.ts';
import { parseListenAddress } from '../engine/base/listen-address.ts';
import type { FileSystem } from '../sys/files/file-system.ts';
import { parseNetworks } from '../sys/net/networks.ts';
import { SystemError } from '../sys/base/system-error.ts';

/** The administrator's decisions; everything has a default, so that an empty file, or none, is valid. */
export type Settings = Of<typeof SETTINGS>;

const PATH_MAX = 4096;
const SETS_MAX = 1000;
const NETWORKS_MAX = 256;
const FILE_LENGTH_MAX = 256 * 1024;
const MIB_MAX = 1024 ** 3;
const PROCESSORS_MAX = 65_536;

const path = text({ max: PATH_MAX, pattern: /^\//, words: 'a path that begins with "/"' });

const url = text({
  max: 2048,
  pattern: /^https?:\/\/[^\s/]+\S*$/,
  words: 'an address of http or https',
});
/** An address that programs cannot mistake for an option, and that cannot end a header. */
const address = text({
  max: 254,
  pattern: /^[A-Za-z0-9_.+][^\s<>,;:"\\()]*@[A-Za-z0-9.-]+$/,
  words: 'a mail address',
});
const percent = integer(1, 100);
const ADDRESSES_MAX = 20;
const ALARMS = { poolWarningPercent: 85, poolCriticalPercent: 95, latePeriods: 2 };
/** In MiB; with less, look-ups take several times as long. */
const INDEX_MEMORY = { min: 32, usual: 128, max: 2 ** 20 };
const NOBODY = { webhook: undefined, webhookSecretFile: undefined, mail: undefined };

const SETTINGS = object({
  /** The directory of the store. */
  store: withDefault(path, '/var/lib/holdfast/store'),
  /** Where the service listens for commands. */
  socket: withDefault(path, '/run/holdfast/control.sock'),
  /** An NBD server for the disks of all sessions, as export SESSION/DISK: its address, clients and TLS. */
  nbd: withDefault(
    object({
      /** Default: only the socket on which systemd listens for the service. */
      listen: optional(text({ max: 256, pattern: /^tcp:.+:\d+$/, words: '"tcp:HOST:PORT"' })),
      /** Addresses and networks; default: this host only. */
      allow: optional(list(text({ max: 128 }), NETWORKS_MAX, 1)),
      tls: optional(variants('kind', { x509: { directory: path }, psk: { path } })),
    }),
    { listen: undefined, allow: undefined, tls: undefined },
  ),
  /** The directory for files that the service restores from recovery points. */
  restores: withDefault(path, '/srv/holdfast-restore'),
  /** By set: the file whose first line is its passphrase, for sessions and jobs that start without a person. */
  passphraseFiles: withDefault(record(path, SETS_MAX), {}),
  alarms: withDefault(
    object({
      /** How full the disk of the store may be. */
      poolWarningPercent: withDefault(percent, ALARMS.poolWarningPercent),
      poolCriticalPercent: withDefault(percent, ALARMS.poolCriticalPercent),
      /** A schedule without success for so many periods is late. */
      latePeriods: withDefault(integer(1, 1000), ALARMS.latePeriods),
    }),
    ALARMS,
  ),
  /** What all boots for proofs of recovery together may use. */
  proofs: withDefault(
    object({
      /** In MiB; default: half of the memory of this host. */
      memory: optional(integer(256, MIB_MAX)),
      /** Default: all of this host. */
      processors: optional(integer(1, PROCESSORS_MAX)),
    }),
    { memory: undefined, processors: undefined },
  ),
  index: withDefault(
    object({
      /** The most memory for the index of blocks in each process that writes to the store, in MiB. */
      memory: withDefault(integer(INDEX_MEMORY.min, INDEX_MEMORY.max), INDEX_MEMORY.usual),
    }),
    { memory: INDEX_MEMORY.usual },
  ),
  lockdown: withDefault(
    /** How many people must approve its end. */
    object({ persons: withDefault(integer(1, 2), 1) }),
    { persons: 1 },
  ),
  /** Who is notified of alarms. */
  notify: withDefault(
    object({
      webhook: optional(url),
      /** The file whose first line is the key that signs the webhook's messages. */
      webhookSecretFile: optional(path),
      mail: optional(
        object({
          to: list(address, ADDRESSES_MAX, 1),
          from: address,
          sendmail: withDefault(path, '/usr/sbin/sendmail'),
        }),
      ),
    }),
    NOBODY,
  ),
  /** The API for other hosts, by TLS and with tokens; off by default. */
  listen: optional(
    object({
      /** `HOST:PORT`, `[IPv6]:PORT`. */
      address: text({
        max: 256,
        pattern: /^(?:\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}$/,
        words: 'HOST:PORT',
      }),
      /** PEM, including the intermediate certificates up to an authority that clients know. */
      certificate: path,
      key: path,
      /** Default: in the directory of the box. */
      tokens: optional(path),
    }),
  ),
});

export const SETTINGS_FILE = '/etc/holdfast/holdfastd.json';

/** The settings in the file, if it exists. */
export async function settingsIn(files: FileSystem, file: string): Promise<Settings> {
  return (await files.stat(file)) ? readSettings(files, file) : parse(SETTINGS, {});
}

/** Rejects FAILED, with the file and the line. */
export async function readSettings(files: FileSystem, file: string): Promise<Settings> {
  const bytes = await files.readFile(file, FILE_LENGTH_MAX);
  return parseSettings(file, Buffer.from(bytes).toString('utf8'));
}

export function parseSettings(file: string, source: string): Settings {
  try {
    const { value, lineOf } = parseCommentedJson(source);
    try {
      return sensible(parse(SETTINGS, value));
    } catch (cause) {
      if (!(cause instanceof SchemaError)) throw cause;
      throw new SystemError('FAILED', `${file}: line ${lineOf(cause.at)}: ${cause.message}`, {
        cause,
      });
    }
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new SystemError('FAILED', `${file}: ${cause.message}`, { cause });
  }
}

/** Throws SchemaError for settings that are valid alone but not together. */
function sensible(settings: Settings): Settings {
  const { poolWarningPercent, poolCriticalPercent } = settings.alarms;
  if (poolWarningPercent > poolCriticalPercent) {
    throw new SchemaError(['alarms', 'poolWarningPercent'], 'more than poolCriticalPercent');
  }
  const { listen: nbd, allow } = settings.nbd;
  if (nbd !== undefined) said(['nbd', 'listen'], () => parseListenAddress(nbd));
  if (allow) said(['nbd', 'allow'], () => parseNetworks(allow));
  const { listen } = settings;
  if (listen) said(['listen', 'address'], () => parseListenAddress(`tcp:${listen.address}`));
  return settings;
}

/** Throws SchemaError with a parser's own message, and the place in the file. */
function said(at: readonly string[], parse: () => unknown): void {
  try {
    parse();
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    throw new SchemaError(at, cause.message);
  }
}
