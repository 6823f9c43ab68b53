import type { BlockDevice } from '../../block/block-device.ts';
import type { World } from '../../sys/world.ts';
import type { ImageFormat } from '../source/image-format.ts';
import { openTarget, type TargetOptions } from './restore-target.ts';
import { rewriteDisk, type RewriteOptions } from './rewrite-disk.ts';

export type RestoreOptions = TargetOptions & Pick<RewriteOptions, 'onProgress'>;

export interface RestoredDisk {
  readonly writtenBytes: number;
  readonly format: ImageFormat;
}

/**
 * Writes a disk to its destination and reads it back. A file gets its name only once it is whole; holes stay holes.
 * Rejects as `openTarget`, and VERIFY.
 */
export async function restoreDisk(
  world: World,
  disk: BlockDevice,
  options: RestoreOptions,
): Promise<RestoredDisk> {
  await using target = await openTarget(world, disk, options);
  const { device, isEmpty, forget } = target;
  const { signal, onProgress } = options;
  const { writtenBytes } = await rewriteDisk(disk, device, { isEmpty, forget, signal, onProgress });
  await target.publish();
  return { writtenBytes, format: target.format };
}
