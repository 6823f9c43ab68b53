#!/bin/sh
# build-proof-guest.sh CHECKED-GUEST DIRECTORY: a disk that boots the kernel of the guest in CHECKED-GUEST with
# proof-guest-init.sh: "disk", of which copies get another syslinux.cfg. Unless it is there and newer than this script.
set -eu
guest=${1:?usage: build-proof-guest.sh CHECKED-GUEST DIRECTORY}
directory=${2:?usage: build-proof-guest.sh CHECKED-GUEST DIRECTORY}
here=$(cd "$(dirname "$0")" && pwd)
disk=$directory/disk
[ ! "$disk" -nt "$0" ] || [ ! "$disk" -nt "$here/proof-guest-init.sh" ] || [ ! "$disk" -nt "$guest/initrd" ] || exit 0

for kernel in /boot/vmlinuz-*; do
  if [ -e "/lib/modules/${kernel#/boot/vmlinuz-}/modules.dep" ]; then
    modules=/lib/modules/${kernel#/boot/vmlinuz-}
  fi
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/over/proof-modules" "$directory"
cp "$here/proof-guest-init.sh" "$work/over/proof-init"
chmod +x "$work/over/proof-init"
line=$(grep '/virtio_net\.ko[.a-z]*:' "$modules/modules.dep")
for file in $(printf '%s\n' "${line#*:}" | tr ' ' '\n' | tac) "${line%%:*}"; do
  name=$(basename "$file" .xz)
  case $file in
    *.xz) xz -dc "$modules/$file" ;;
    *) cat "$modules/$file" ;;
  esac >"$work/over/proof-modules/$name"
  echo "$name" >>"$work/over/proof-modules/order"
done
(cd "$work/over" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/over.gz"

rm -f "$disk.new"
truncate -s 64M "$disk.new"
mkfs.vfat -F 16 "$disk.new" >/dev/null
mcopy -i "$disk.new" "$guest/vmlinuz" ::linux
mcopy -i "$disk.new" "$guest/initrd" ::initrd
mcopy -i "$disk.new" "$work/over.gz" ::over
syslinux --install "$disk.new"
mv "$disk.new" "$disk"
