#!/bin/sh
# build-checked-guest.sh DIRECTORY: kernel and initramfs of the guest that checks its own disks (checked-guest-init.sh),
# unless they are there and newer than this script. The kernel is this machine's, or the one that libguestfs has here.
set -eu
directory=${1:?usage: build-checked-guest.sh DIRECTORY}
here=$(cd "$(dirname "$0")" && pwd)
made=$directory/initrd
[ ! "$made" -nt "$0" ] || [ ! "$made" -nt "$here/checked-guest-init.sh" ] || exit 0

version=
for kernel in /boot/vmlinuz-*; do
  [ -e "/lib/modules/${kernel#/boot/vmlinuz-}/modules.dep" ] && version=${kernel#/boot/vmlinuz-}
done
[ -n "$version" ] || { echo "no kernel in /boot has its modules: install linux-image-cloud-amd64" >&2; exit 1; }
modules=/lib/modules/$version

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in bin proc sys dev disks run modules usr/sbin sbin; do mkdir -p "$work/$name"; done
cp "$(command -v busybox)" "$work/bin/busybox"
cp "$here/checked-guest-init.sh" "$work/init"
chmod +x "$work/init"
ln -s /init "$work/sbin/shutdown"

# The guest agent with what it is linked with.
agent=$(command -v qemu-ga || echo /usr/sbin/qemu-ga)
cp "$agent" "$work/usr/sbin/qemu-ga"
for library in $(ldd "$agent" | grep -oE '/[^ )]+'); do
  mkdir -p "$work$(dirname "$library")"
  cp -L "$library" "$work$library"
done

# A module after those that it needs. What a kernel has built in has no line.
for module in virtio_pci virtio_blk virtio_scsi sd_mod virtio_console ext4 loop efivarfs button evdev; do
  line=$(grep "/$module\.ko[.a-z]*:" "$modules/modules.dep") || continue
  for file in $(printf '%s\n' "${line#*:}" | tr ' ' '\n' | tac) "${line%%:*}"; do
    name=$(basename "$file" .xz)
    [ ! -e "$work/modules/$name" ] || continue
    case $file in
      *.xz) xz -dc "$modules/$file" ;;
      *) cat "$modules/$file" ;;
    esac >"$work/modules/$name"
    echo "$name" >>"$work/modules/order"
  done
done

mkdir -p "$directory"
cp "/boot/vmlinuz-$version" "$directory/vmlinuz"
(cd "$work" && find . | cpio -o -H newc --quiet | gzip -1) >"$made.new"
mv "$made.new" "$made"
