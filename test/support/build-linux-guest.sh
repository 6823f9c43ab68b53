#!/bin/sh
# build-linux-guest.sh DIRECTORY: Debian's kernel and an initramfs for a throw-away guest whose root is this
# machine's, read-only, under a layer in memory; and the NFS client programs that go on top of it. Nothing is
# installed here: rpcbind would take the port that is tested.
set -eu
directory=${1:?usage: build-linux-guest.sh DIRECTORY}
mkdir -p "$directory/packages"
cd "$directory"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

kernel=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
[ -n "$kernel" ] || { echo "apt knows no linux-image-amd64: run apt-get update" >&2; exit 1; }
# shellcheck disable=SC2086 # a list of words on purpose
(cd packages && apt-get download $kernel nfs-common rpcbind libnfsidmap1 libtirpc3 libtirpc-common libwrap0 \
  libevent-core-2.1-7 libkeyutils1 libdevmapper1.02.1 libcap2 >/dev/null)
for package in packages/linux-image-*.deb; do dpkg-deb -x "$package" "$work/kernel"; done
mkdir -p "$work/tools"
for package in packages/*.deb; do
  case $package in packages/linux-image-*) ;; *) dpkg-deb -x "$package" "$work/tools" ;; esac
done
rm -rf packages

version=$(ls "$work/kernel/lib/modules")
depmod -b "$work/kernel" "$version"
modules=$work/kernel/lib/modules/$version

mkdir -p "$work/initrd/bin" "$work/initrd/modules"
for name in proc sys dev lower upper new; do mkdir "$work/initrd/$name"; done
cp "$(command -v busybox)" "$work/initrd/bin/busybox"
# A module after those that it needs.
for module in virtio_pci 9pnet_virtio 9p overlay virtio_console virtio_net; do
  line=$(grep "/$module\.ko:" "$modules/modules.dep") || continue
  needed=$(printf '%s\n' "${line#*:}" | tr ' ' '\n' | sed '/^$/d' | tac)
  for file in $needed "${line%%:*}"; do
    name=${file##*/}
    [ -e "$work/initrd/modules/$name" ] && continue
    cp "$modules/$file" "$work/initrd/modules/$name"
    echo "$name" >>"$work/initrd/modules/order"
  done
done
cat >"$work/initrd/init" <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
while read -r module; do $b insmod "/modules/$module"; done </modules/order
options=trans=virtio,version=9p2000.L,msize=262144
$b mount -t 9p -o "ro,cache=loose,$options" root /lower || $b poweroff -f
$b mount -t tmpfs -o size=75% tmpfs /upper
$b mkdir /upper/changes /upper/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/changes,workdir=/upper/work overlay /new
for name in dev proc sys run; do $b mkdir -p "/new/$name"; done
$b mount --move /dev /new/dev; $b mount --move /proc /new/proc; $b mount --move /sys /new/sys
$b mount -t tmpfs tmpfs /new/run
$b mkdir /new/run/guest
$b mount -t 9p -o "$options" guest /new/run/guest
exec $b switch_root /new /bin/sh /run/guest/init
INIT
chmod +x "$work/initrd/init"
(cd "$work/initrd" && find . | cpio -o -H newc --quiet | gzip -1) >initrd
cp "$work/kernel/boot/vmlinuz-$version" vmlinuz
rm -rf modules tools
mv "$modules" modules
mv "$work/tools" tools
# Written last: where it is, the rest is whole.
echo "$version" >version
