#!/bin/sh
# build-demo-vm.sh IMAGE: a raw disk of 4 GiB with a small Debian 12 that boots by BIOS, with a root shell
# (root, password root) on its serial console. Nothing is mounted: file systems are made from directories.
set -eu
image=${1:?usage: build-demo-vm.sh IMAGE}
if [ "$(id -u)" != 0 ]; then
  # A root file system has files of many owners.
  command -v sudo >/dev/null || { echo "build-demo-vm.sh has to run as root" >&2; exit 1; }
  sudo sh "$0" "$image"
  exec sudo chown "$(id -u):$(id -g)" "$image"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=$work/log
failed() { tail -n 30 "$log" >&2; echo "The demo VM could not be built: its log ends above." >&2; exit 1; }

# apt in there works as another user, who has to be able to enter.
chmod 755 "$work"
mmdebstrap --quiet --variant=minbase \
  --include=linux-image-cloud-amd64,systemd-sysv,udev,login,passwd,util-linux,e2fsprogs,kmod,initramfs-tools,zstd \
  --dpkgopt=force-unsafe-io \
  --customize-hook='echo root:root | chroot "$1" chpasswd' \
  --customize-hook='echo demo > "$1/etc/hostname"' \
  --customize-hook='printf "LABEL=root / ext4 defaults,errors=remount-ro 0 1\n" > "$1/etc/fstab"' \
  --customize-hook='mkdir -p "$1/etc/systemd/system/getty.target.wants"' \
  --customize-hook='ln -s /lib/systemd/system/serial-getty@.service "$1/etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service"' \
  bookworm "$work/root" >"$log" 2>&1 || failed

mkdir "$work/boot"
cp "$work"/root/boot/vmlinuz-* "$work/boot/linux"
cp "$work"/root/boot/initrd.img-* "$work/boot/initrd"
cat >"$work/boot/syslinux.cfg" <<'CONF'
SERIAL 0 115200
DEFAULT linux
PROMPT 0
TIMEOUT 1
LABEL linux
  KERNEL linux
  INITRD initrd
  APPEND root=LABEL=root rw console=ttyS0,115200 net.ifnames=0 quiet systemd.show_status=1
CONF

{
  mib=1048576
  rm -f "$image"
  truncate -s 4G "$image"
  printf 'label: dos\nstart=1MiB, size=127MiB, type=c, bootable\nstart=128MiB, type=83\n' | sfdisk -q "$image"
  dd if=/usr/lib/syslinux/mbr/mbr.bin of="$image" conv=notrunc bs=440 count=1 status=none
  mkfs.vfat -F 16 -n BOOT --offset 2048 "$image" $((127 * 1024))
  mcopy -i "$image@@$mib" "$work/boot/linux" "$work/boot/initrd" "$work/boot/syslinux.cfg" ::
  syslinux --install --offset $mib "$image"
  mkfs.ext4 -q -F -L root -E offset=$((128 * mib)) -d "$work/root" "$image" $((4096 - 128))M
} >>"$log" 2>&1 || failed
