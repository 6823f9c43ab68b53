#!/bin/busybox sh
# /proof-init of a guest that is booted to be proven: "proof=" on the kernel's command line says how it ends. It lies
# over the initramfs of the guest that checks its disks, of which it uses the programs and the modules.
#
# up          a network, a web server at port 80, the guest agent, and a login prompt
# emergency   as systemd, when a disk of fstab is not there
# panic       as a system without a root file system
# restart     again and again
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /run
for order in /modules /proof-modules; do
  while read -r module; do insmod "$order/$module" 2>/dev/null; done <"$order/order"
done
read -r line </proc/cmdline
case " $line " in
  *' proof=up '*)
    ip link set lo up
    ip link set eth0 up
    ip addr add 10.0.2.15/24 dev eth0
    mkdir -p /www /dev/virtio-ports
    echo proven >/www/index.html
    httpd -p 80 -h /www
    for port in /sys/class/virtio-ports/*; do
      ln -s "/dev/${port##*/}" "/dev/virtio-ports/$(cat "$port/name")"
    done
    qemu-ga -m virtio-serial -d -t /run -f /run/qemu-ga.pid -p /dev/virtio-ports/org.qemu.guest_agent.0
    dd if=/dev/urandom of=/dev/vda bs=64k seek=700 count=16 conv=fsync 2>/dev/null
    printf '\nproof login: '
    ;;
  *' proof=emergency '*)
    echo 'You are in emergency mode. After logging in, type "journalctl -xb" to view'
    echo 'system logs, "systemctl reboot" to reboot, "exit" to boot into default mode.'
    printf 'Press Enter for maintenance\n(or press Control-D to continue): '
    ;;
  *' proof=restart '*) reboot -f ;;
  *' proof=panic '*) exit 1 ;;
esac
while :; do sleep 3600; done
