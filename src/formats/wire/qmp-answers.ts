import { FormatError } from '../format-error.ts';
import { objectIn, textIn, wholeIn } from './qmp.ts';

/*
 * Answers of QEMU's monitor: of each, the fields that Holdfast uses. Later releases of QEMU add fields, which are
 * ignored. All throw FormatError. qmp.md.
 */

/** A drive of the machine, as `query-block` lists them. */
export interface QmpDrive {
  /** The ID of its `-drive`; empty: it has none. */
  readonly device: string;
  /** The device of the guest: its ID, or its path in QEMU's object model; undefined: no device uses the drive. */
  readonly qdev: string | undefined;
  readonly isRemovable: boolean;
  /** Undefined: there is no medium in it. */
  readonly medium: QmpMedium | undefined;
}

export interface QmpMedium {
  /** The name of the node, for commands. */
  readonly node: string;
  /** "qcow2", "raw"; "copy-before-write" while a backup runs. */
  readonly driver: string;
  readonly isReadOnly: boolean;
  /** A path, or a description of where it is. */
  readonly file: string;
  /** In bytes, as the guest sees it. */
  readonly size: number;
  /** Names of the snapshots in the image. */
  readonly snapshots: readonly string[];
}

/** A node of the block layer, as `query-named-block-nodes` lists them. */
export interface QmpNode {
  readonly name: string;
  readonly isReadOnly: boolean;
  readonly bitmaps: readonly QmpBitmap[];
}

export interface QmpBitmap {
  /** Undefined: it belongs to a job. */
  readonly name: string | undefined;
  /** It counts what is written. */
  readonly isRecording: boolean;
  /** QEMU was killed while it counted: what it says is not true. */
  readonly isInconsistent: boolean;
}

export interface QmpJob {
  readonly id: string;
  /** "running", "concluded" and others. */
  readonly status: string;
  /** Why it failed. */
  readonly error: string | undefined;
}

export interface QmpProcessor {
  readonly path: string;
  readonly socket: number | undefined;
  readonly core: number | undefined;
  readonly thread: number | undefined;
}

export interface QmpProperty {
  readonly name: string;
  /** "child<scsi-hd>" of a device that is part of it. */
  readonly type: string;
}

/** The most of anything in one answer: more than QEMU takes. */
const ITEMS_MAX = 100_000;

function itemsIn<T>(value: unknown, what: string, read: (item: unknown) => T): readonly T[] {
  if (!Array.isArray(value) || value.length > ITEMS_MAX) {
    throw new FormatError('CORRUPT', `${what} that are not a list of at most ${ITEMS_MAX}`);
  }
  return value.map(read);
}

function optionalText(value: unknown, what: string): string | undefined {
  return value === undefined ? undefined : textIn(value, what);
}

export function drivesIn(answer: unknown): readonly QmpDrive[] {
  return itemsIn(answer, 'drives', (item) => {
    const { device, qdev, removable, inserted } = objectIn(item, 'a drive');
    return {
      device: textIn(device ?? '', "a drive's name"),
      qdev: optionalText(qdev, "a drive's device"),
      isRemovable: removable === true,
      medium: inserted === undefined ? undefined : mediumIn(inserted),
    };
  });
}

function mediumIn(value: unknown): QmpMedium {
  const { drv, ro, file, image, 'node-name': node } = objectIn(value, 'a medium');
  const { 'virtual-size': size, snapshots } = objectIn(image, 'an image');
  return {
    node: textIn(node, 'the name of a node'),
    driver: textIn(drv, 'the name of a driver'),
    isReadOnly: ro === true,
    // That of a long chain may be long; only a path is of use.
    file: typeof file === 'string' && file.length <= PATH_MAX ? file : '',
    size: wholeIn(size, 'the size of an image'),
    snapshots: itemsIn(snapshots ?? [], 'snapshots', (it) =>
      textIn(objectIn(it, 'a snapshot')['name'], 'the name of a snapshot'),
    ),
  };
}

/** limits.h */
const PATH_MAX = 4096;

export function nodesIn(answer: unknown): readonly QmpNode[] {
  return itemsIn(answer, 'nodes', (item) => {
    const { ro, 'node-name': name, 'dirty-bitmaps': bitmaps } = objectIn(item, 'a node');
    return {
      name: textIn(name ?? '', 'the name of a node'),
      isReadOnly: ro === true,
      bitmaps: itemsIn(bitmaps ?? [], 'bitmaps', bitmapIn),
    };
  });
}

function bitmapIn(value: unknown): QmpBitmap {
  const { name, recording, inconsistent } = objectIn(value, 'a bitmap');
  return {
    name: optionalText(name, 'the name of a bitmap'),
    isRecording: recording === true,
    isInconsistent: inconsistent === true,
  };
}

export function jobsIn(answer: unknown): readonly QmpJob[] {
  return itemsIn(answer, 'jobs', (item) => {
    const { id, status, error } = objectIn(item, 'a job');
    return {
      id: textIn(id, 'the ID of a job'),
      status: textIn(status, 'the state of a job'),
      error: optionalText(error, 'the error of a job'),
    };
  });
}

/** The IDs of what is exported, by whatever server. */
export function exportsIn(answer: unknown): readonly string[] {
  return itemsIn(answer, 'exports', (item) =>
    textIn(objectIn(item, 'an export')['id'], 'the ID of an export'),
  );
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const NO_UUID = '00000000-0000-0000-0000-000000000000';

/** Undefined: the machine was given none. */
export function uuidIn(answer: unknown): string | undefined {
  const uuid = textIn(objectIn(answer, 'an answer')['UUID'], 'a UUID').toLowerCase();
  if (!UUID.test(uuid)) throw new FormatError('CORRUPT', 'a UUID that is none');
  return uuid === NO_UUID ? undefined : uuid;
}

/** "running", "paused", "prelaunch" and others. */
export function statusIn(answer: unknown): string {
  return textIn(objectIn(answer, 'an answer')['status'], 'a state');
}

export function archIn(answer: unknown): string {
  return textIn(objectIn(answer, 'an answer')['arch'], 'an architecture');
}

/** In bytes. */
export function memoryIn(answer: unknown): number {
  const { 'base-memory': base, 'plugged-memory': plugged } = objectIn(answer, 'an answer');
  return wholeIn(base, 'a size of memory') + wholeIn(plugged ?? 0, 'a size of memory');
}

export function processorsIn(answer: unknown): readonly QmpProcessor[] {
  return itemsIn(answer, 'processors', (item) => {
    const { props = {}, 'qom-path': path } = objectIn(item, 'a processor');
    const place = objectIn(props, 'the place of a processor');
    const number = (name: string): number | undefined =>
      place[name] === undefined ? undefined : wholeIn(place[name], `the ${name} of a processor`);
    return {
      path: textIn(path, 'the path of a processor'),
      socket: number('socket-id'),
      core: number('core-id'),
      thread: number('thread-id'),
    };
  });
}

/** Models of its TPMs: "tpm-crb", "tpm-tis". */
export function tpmsIn(answer: unknown): readonly string[] {
  return itemsIn(answer, 'TPMs', (item) =>
    textIn(objectIn(item, 'a TPM')['model'], 'the model of a TPM'),
  );
}

export function propertiesIn(answer: unknown): readonly QmpProperty[] {
  return itemsIn(answer, 'properties', (item) => {
    const { name, type } = objectIn(item, 'a property');
    return {
      name: textIn(name, 'the name of a property'),
      type: textIn(type, 'the type of a property'),
    };
  });
}

/** What the guest agent says of the guest: "mswindows", "debian". */
export function guestSystemIn(answer: unknown): string | undefined {
  return optionalText(objectIn(answer, 'an answer')['id'], 'the name of a system');
}
