#!/bin/busybox sh
# Process 1 of the initrd. It is measured (PCR 9 and 11), and so is the command line that it holds a copy of.
# It takes nothing from the host but disks, whose contents must match the root hashes on that command line.
export PATH=/bin:/sbin

say() { echo "$1" >/dev/console; }

refuse() {
  say "VITRINE-REFUSED $1"
  sleep 1 # the serial line needs a moment to carry it
  poweroff -f
  while :; do sleep 60; done
}

trap 'refuse "initrd ended"' EXIT

mount -t proc -o nosuid,nodev,noexec proc /proc || refuse "no /proc"
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys || refuse "no /sys"
mount -t devtmpfs -o nosuid,noexec,mode=755 devtmpfs /dev || refuse "no /dev"
# What goes wrong is said once, by refuse; nothing else of ours reaches the console.
exec 2>/dev/null
# Without the mode busybox would leave /run writable for everybody in the final system.
mount -t tmpfs -o nosuid,nodev,noexec,mode=755,size=20% tmpfs /run || refuse "no /run"
# Nobody shares memory by name. PID 1 would mount it writable, and takes what is there.
mkdir -p /dev/shm && mount -t tmpfs -o ro,nosuid,nodev,noexec,mode=755 tmpfs /dev/shm || refuse "no /dev/shm"

# A host can add to the command line through SMBIOS or an add-on beside the UKI; PCR 9 and 12 tell, and so do we.
[ "$(cat /proc/cmdline)" = "$(cat /cmdline)" ] || refuse "command line is not the measured one"
# The stub hands over credentials and extensions that it finds on the boot disk in /.extra; it writes os-release itself.
for extra in $(ls -A /.extra); do
  [ "$extra" = os-release ] || refuse "boot disk brings $extra"
done

# A driver without its device says so; what is really missing shows below.
while read -r module; do insmod "/modules/$module"; done </modules/order

mount -t securityfs -o ro,nosuid,nodev,noexec securityfs /sys/kernel/security || refuse "no securityfs"
# Where the CPU is a TEE, the attester asks for its report through this one entry. Nothing else mounts configfs.
if [ -e /dev/tdx_guest ] || [ -e /dev/sev-guest ]; then
  mount -t configfs -o nosuid,nodev,noexec configfs /sys/kernel/config || refuse "no configfs"
  mkdir /sys/kernel/config/tsm/report/vitrine || refuse "no TEE report"
fi
mount -t efivarfs -o ro,nosuid,nodev,noexec efivarfs /sys/firmware/efi/efivars || refuse "no efivarfs"
# SystemdOptions and its like: systemd would take them for its command line, and nothing measures them.
for variable in /sys/firmware/efi/efivars/*-8cf2644b-4b0b-428f-9387-6d876050dc67; do
  [ -e "$variable" ] && refuse "EFI variable ${variable##*/}"
done

partition() {
  tries=0
  while [ $tries -lt 300 ]; do
    for uevent in /sys/class/block/*/uevent; do
      if grep -qx "PARTNAME=$1" "$uevent"; then
        device=${uevent%/uevent}
        echo "/dev/${device##*/}"
        return
      fi
    done
    sleep 0.1
    tries=$((tries + 1))
  done
}

# <root hash>:<salt>:<data blocks>; an altered block panics, and so does one that the disk does not give: systemd leaves out
# what it cannot read, and a host could choose what that is.
open_verity() {
  data=$(partition "vitrine-$1")
  tree=$(partition "vitrine-$1-verity")
  [ -n "$data" ] && [ -n "$tree" ] || refuse "no disk with the $1 partitions"
  hash=${2%%:*}
  rest=${2#*:}
  salt=${rest%%:*}
  blocks=${rest#*:}
  table="0 $((blocks * 8)) verity 1 $data $tree 4096 4096 $blocks 0 sha256 $hash $salt 2 panic_on_corruption panic_on_error"
  dmsetup create "vitrine-$1" --readonly --noudevsync --table "$table" || refuse "cannot open the $1 disk"
}

# The kernel's own name: links in /dev/mapper are udev's business, and there is no udev here.
opened() {
  for name in /sys/class/block/dm-*/dm/name; do
    [ "$(cat "$name")" = "vitrine-$1" ] && name=${name%/dm/name} && echo "/dev/${name##*/}" && return
  done
}

for option in $(cat /cmdline); do
  case $option in
    vitrine.root=*) root=${option#*=} ;;
    vitrine.model=*) model=${option#*=} ;;
    vitrine.gpus=*) gpus=${option#*=} ;;
    vitrine.mode=DEBUG) say "VITRINE DEBUG: this image has a console; nothing that it is told is private" ;;
  esac
done
open_verity root "$root"
open_verity model "$model"
mount -t erofs -o ro,nosuid "$(opened root)" /root || refuse "cannot mount the root"
mount -t erofs -o ro,nosuid,nodev,noexec "$(opened model)" /root/usr/share/vitrine/model \
  || refuse "cannot mount the model"

# The firewall's rules hang on the interface, and some drivers take a moment.
interface=$(cat /root/usr/lib/vitrine/interface)
tries=0
until [ -n "$interface" ] && [ -e "/sys/class/net/$interface" ]; do
  [ $tries -lt 300 ] || refuse "no network interface $interface"
  sleep 0.1
  tries=$((tries + 1))
done

# The GPUs' driver has no signature that the kernel takes. So an image for GPUs boots a kernel that is not locked, loads
# the driver from the verified root, and locks the kernel before anything of that root runs. There is no way back.
if [ -n "$gpus" ]; then
  lockdown=/sys/kernel/security/lockdown
  enforce=/sys/module/module/parameters/sig_enforce
  while read -r module options; do
    # Where there is no GPU, the driver says so by not loading.
    insmod "/root/usr/lib/vitrine/driver/$module" $options || refuse "no GPU driver ($module)"
  done </root/usr/lib/vitrine/driver/order
  mount -o remount,rw /sys/kernel/security || refuse "no lockdown"
  echo confidentiality >$lockdown || refuse "no lockdown"
  echo 1 >$enforce || refuse "no module signatures"
  mount -o remount,ro,nosuid,nodev,noexec /sys/kernel/security || refuse "no lockdown"
  grep -q '\[confidentiality\]' $lockdown && grep -qx Y $enforce || refuse "the kernel is not locked"
fi

# A clock that was set back would make what has expired valid again. Without one, systemd begins at the same file's date.
echo >/booted
[ -e /sys/class/rtc/rtc0 ] && [ ! /booted -nt /root/usr/lib/clock-epoch ] && refuse "the clock lies before the image"

for folder in proc sys dev run; do mount --move /$folder /root/$folder || refuse "cannot move /$folder"; done
trap - EXIT
echo "VITRINE initrd" >/root/dev/console
exec switch_root /root /sbin/init
