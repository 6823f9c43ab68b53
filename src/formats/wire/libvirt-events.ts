import { decodeBody, DOMAIN, TEXT_LENGTH_MAX, TYPED_PARAMETER } from './libvirt.ts';
import { I32, type Layout, list, struct, text, type ValueOf, word } from './xdr-layouts.ts';

/* Messages that libvirt sends when something happens to a machine: libvirt.md. */

const TEXT = text(TEXT_LENGTH_MAX);
const JOB_COUNT_MAX = 64;
/** Each begins with the ID that the registration answered. */
const ABOUT = { callback: I32, domain: DOMAIN };

const LIFECYCLE = [
  ...(['defined', 'undefined', 'started', 'suspended', 'resumed'] as const),
  ...(['stopped', 'shutting-down', 'guest-suspended', 'crashed'] as const),
] as const;
const IO_ACTIONS = ['none', 'pause', 'report'] as const;
const BLOCK_JOBS = ['unknown', 'pull', 'copy', 'commit', 'active-commit', 'backup'] as const;
const BLOCK_JOB_STATUS = ['completed', 'failed', 'cancelled', 'ready'] as const;

/** By name: the number with which it is registered, the procedure of its messages, and what these hold. */
export const LIBVIRT_EVENTS = {
  lifecycle: {
    id: 0,
    procedure: 318,
    layout: struct({ ...ABOUT, event: word(LIFECYCLE), detail: I32 }),
  },
  /** `path` is the image, `alias` the device, `reason` is `enospc` or empty. */
  'io-error': {
    id: 6,
    procedure: 324,
    layout: struct({ ...ABOUT, path: TEXT, alias: TEXT, action: word(IO_ACTIONS), reason: TEXT }),
  },
  /** `disk` is a target: `vda`. */
  'block-job': {
    id: 16,
    procedure: 339,
    layout: struct({
      ...ABOUT,
      disk: TEXT,
      type: word(BLOCK_JOBS),
      status: word(BLOCK_JOB_STATUS),
    }),
  },
  agent: {
    id: 18,
    procedure: 348,
    layout: struct({
      ...ABOUT,
      state: word(['unknown', 'connected', 'disconnected']),
      reason: I32,
    }),
  },
  'job-completed': {
    id: 21,
    procedure: 363,
    layout: struct({ ...ABOUT, parameters: list(TYPED_PARAMETER, JOB_COUNT_MAX) }),
  },
} as const;

export type LibvirtEventKind = keyof typeof LIBVIRT_EVENTS;
export type LibvirtEventOf<K extends LibvirtEventKind> = ValueOf<
  (typeof LIBVIRT_EVENTS)[K]['layout']
>;
export type LibvirtEvent = {
  readonly [K in LibvirtEventKind]: { readonly kind: K } & LibvirtEventOf<K>;
}[LibvirtEventKind];

const BY_PROCEDURE = new Map(
  Object.entries(LIBVIRT_EVENTS).map(([kind, it]) => [it.procedure as number, { kind, ...it }]),
);

/** Undefined: a kind that is not known here. */
export function decodeEvent(procedure: number, packet: Uint8Array): LibvirtEvent | undefined {
  const found = BY_PROCEDURE.get(procedure);
  if (!found) return undefined;
  const body = decodeBody(packet, found.layout as Layout<object>);
  return { kind: found.kind, ...body } as LibvirtEvent;
}
