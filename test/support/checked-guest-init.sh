#!/bin/busybox sh
# The guest that checks its own disks: /init of its initramfs, and /sbin/shutdown for the guest agent.
#
# Every disk with ext4 gets numbered records: 64 KiB of random bytes in a file "NUMBER-SHA256", which has that name only
# once its bytes are on the disk. A record goes to all disks in their order, and is durable on one before it goes to the
# next: of two disks at one moment, the first has the same last record as the second, or one more, which the second gets
# at the next start. The last 64 stay.
#
# With "still" on the kernel's command line it leaves all disks alone, and has a file system in memory for its agent.
#
# ttyS0  the kernel's messages
# ttyS1  reports: GUEST UP · CHECKED vda first=3 last=66 bad=0 journal=clean|recovered · BLANK vdb · DURABLE 67 ·
#        ERROR vda 68 · CHECKED ALL (checks=N on the kernel's command line: N disks are checked, and the guest ends)
# /dev/virtio-ports/shell  a shell
KEPT=64

say() { echo "$*" >/dev/ttyS1; }

end() {
  touch /run/paused
  # The writer may be within a record.
  sleep 1
  for mounted in /disks/*; do umount "$mounted"; done
  poweroff -f
}

# Wrong sums, and numbers missing among the last. An older one may still be there: a power cut undoes its removal.
check() {
  journal=clean
  dmesg | grep -q "EXT4-fs ($1): recovery complete" && journal=recovered
  found=$(cd "/disks/$1/records" && set -- [0-9]*-* && [ -e "$1" ] && sha256sum "$@" | awk -v kept="$KEPT" '
    { split($2, name, "-"); number = name[1] + 0; seen[number] = 1; if (name[2] != $1) bad++
      if (!count++ || number < first) first = number; if (number > last) last = number }
    END { if (first <= last - kept) first = last - kept + 1
      for (number = first; number <= last; number++) if (!(number in seen)) bad++
      print "first=" first " last=" last " bad=" bad + 0 }')
  last=${found#*last=}
  last=${last%% *}
  last=${last:-0}
  echo "$last" >"/run/last/$1"
  [ "$last" -le "$n" ] || n=$last
  say "CHECKED $1 ${found:-first=0 last=0 bad=0} journal=$journal"
}

# Disks that are new here: all of them at the start, later one that is attached.
meet() {
  for path in /sys/block/vd* /sys/block/sd*; do
    disk=${path##*/}
    [ -e "$path" ] && [ ! -e "/run/met/$disk" ] || continue
    touch "/run/met/$disk"
    mkdir -p "/disks/$disk"
    if mount -t ext4 -o errors=remount-ro "/dev/$disk" "/disks/$disk" 2>/dev/null; then
      mkdir -p "/disks/$disk/records"
      check "$disk"
    else
      rmdir "/disks/$disk"
      say "BLANK $disk"
    fi
  done
}

# A power cut between two disks leaves the later ones without the newest record, and no other is ever written under its
# number: they get it from the disk before. Any other difference stays, and is found as bad records.
catch_up() {
  source=
  for path in /disks/*; do
    [ -d "$path" ] || continue
    disk=${path##*/}
    last=$(cat "/run/last/$disk")
    if [ "$last" -eq "$n" ]; then
      [ -n "$source" ] || source=$(echo "$path/records/$n"-*)
    elif [ -n "$source" ] && [ "$last" -gt 0 ] && [ "$last" -eq $((n - 1)) ]; then
      cp "$source" "$path/records/new" && mv "$path/records/new" "$path/records/${source##*/}" && sync
    fi
  done
}

# A file that is flushed again under its new name flushes that name too, and reports a failure of it.
record() {
  place=/disks/$1/records
  dd if=/dev/urandom of="$place/new" bs=64k count=1 conv=fsync 2>/dev/null || return
  sum=$(sha256sum <"$place/new") || return
  name=$place/$2-${sum%% *}
  mv "$place/new" "$name" && dd if=/dev/null of="$name" conv=notrunc,fsync 2>/dev/null || return
  for old in "$place/$(($2 - KEPT))"-*; do rm -f "$old"; done
}

write() {
  next=$((n + 1))
  written=
  for path in /disks/*; do
    [ -d "$path" ] || continue
    record "${path##*/}" "$next" || { say "ERROR ${path##*/} $next"; sleep 1; return; }
    written=1
  done
  [ -n "$written" ] || { sleep 0.2; return; }
  n=$next
  say "DURABLE $n"
}

[ "$0" = /init ] || { PATH=/bin; export PATH; end; exit; }

/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
# This leaves ttyS0 to the kernel.
exec </dev/null >/dev/kmsg 2>&1
mount -t tmpfs tmpfs /run
mkdir /run/met /run/last
while read -r module; do insmod "/modules/$module" 2>/dev/null; done </modules/order
[ ! -d /sys/firmware/efi/efivars ] || mount -t efivarfs efivarfs /sys/firmware/efi/efivars
stty -F /dev/ttyS1 raw -echo clocal
# UEFI has cleared a screen on it.
say
say "GUEST UP $(cut -d' ' -f1 /proc/uptime)"
n=0

read -r line </proc/cmdline
case " $line " in
  *' checks='*)
    checks=${line#*checks=}
    checks=${checks%% *}
    for _ in $(seq 100); do
      [ "$(ls -d /sys/block/vd* | wc -l)" -lt "$checks" ] || break
      sleep 0.1
    done
    meet
    say "CHECKED ALL"
    end
    ;;
esac

mkdir -p /dev/virtio-ports
for port in /sys/class/virtio-ports/*; do
  [ -e "$port" ] && ln -s "/dev/${port##*/}" "/dev/virtio-ports/$(cat "$port/name")"
done
# Where nobody is connected, its end is read. Kept open: what a port holds is lost when it is closed.
(
  exec 4<>/dev/virtio-ports/shell || exit
  while :; do
    if read -r words <&4; then (eval "$words") </dev/null >&4 2>&1; else sleep 0.1; fi
  done
) &
case " $line " in
  *' agent=silent '*) ;;
  *) [ ! -e /dev/virtio-ports/org.qemu.guest_agent.0 ] || qemu-ga -m virtio-serial -d -t /run -f /run/qemu-ga.pid \
    -p /dev/virtio-ports/org.qemu.guest_agent.0 ;;
esac

case " $line " in
  *' still '*)
    mkdir /still
    dd if=/dev/zero of=/run/image bs=1k count=256 2>/dev/null
    mke2fs -F /run/image
    losetup /dev/loop0 /run/image && mount -t ext4 /dev/loop0 /still
    say STILL
    while :; do sleep 3600; done
    ;;
esac

meet
catch_up
while :; do
  meet
  if [ -e /run/paused ]; then
    [ -e /run/resting ] || { touch /run/resting; say "PAUSED $n"; }
    sleep 0.1
  else
    rm -f /run/resting
    write
    # The tests need the processor too.
    sleep 0.05
  fi
done
