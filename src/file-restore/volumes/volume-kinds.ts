/** `unknown`: something else, or nothing recognized; `found` describes it. */
export type VolumeKind =
  | 'ext2'
  | 'ext3'
  | 'ext4'
  | 'xfs'
  | 'btrfs'
  | 'vfat'
  | 'exfat'
  | 'ntfs'
  | 'iso9660'
  | 'udf'
  | 'swap'
  | 'LVM2_member'
  | 'crypto_LUKS'
  | 'BitLocker'
  | 'linux_raid_member'
  | 'unknown';

/**
 * `kernel` mounts it through a loop device, `ntfs-3g` is a process of its own, `guestfs` a VM of its own.
 * `container`: it holds volumes, or does once it has been unlocked: only an appliance opens it. `none`: it cannot be
 * opened; `reason` says why.
 */
export type VolumeDriver =
  | { readonly kind: 'kernel' | 'ntfs-3g' | 'guestfs' | 'container' }
  | { readonly kind: 'none'; readonly reason: string };
