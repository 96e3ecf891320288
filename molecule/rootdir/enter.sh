#!/bin/sh
# enter.sh TREE COMMAND...: runs a command in a tree, in namespaces that unshare made. Unlike the connection it keeps
# every capability. There is an eth0, and what it sends arrives at peer0.
set -eu
cd "$1"
shift
ip link add eth0 type veth peer name peer0
ip address add 192.0.2.1/24 dev eth0
for name in eth0 peer0; do
  echo 1 >"/proc/sys/net/ipv6/conf/$name/disable_ipv6"
  ip link set "$name" up
done
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=0755 dev dev
: >dev/null
mount --bind /dev/null dev/null
mount -t tmpfs run run
mount -t tmpfs tmp tmp
# settled NAME...: what each kernel setting is once systemd-sysctl has applied the tree's files to settings that are made up.
cat >tmp/settled <<'END'
for name; do
  mkdir -p "/tmp/sys/$(dirname "$name")"
  echo - >"/tmp/sys/$name"
done
mount --bind /tmp/sys /proc/sys
/usr/lib/systemd/systemd-sysctl >/dev/null 2>&1
for name; do echo "$name=$(cat "/proc/sys/$name")"; done
END
# starts UNIT: whether systemd would take a unit into a boot.
cat >tmp/starts <<'END'
SYSTEMD_OFFLINE=1 systemctl add-wants umount.target "$1" >/dev/null 2>&1 && echo "$1 starts"
rm -rf /etc/systemd/system/umount.target.wants
END
exec chroot . "$@"
