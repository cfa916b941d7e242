# The machine's own files with a systemd as process 1 that starts nothing by itself. Runs in
# namespaces of its own (mounts, processes, network, groups); all that is written goes into memory.
# $1: a folder for it; $2: the unpacked package.
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
root=$1/root
mkdir "$root/package"
mount --bind "$2" "$root/package"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
# As systemd itself mounts it on a machine.
mount -t bpf -o mode=0700 bpf "$root/sys/fs/bpf"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
# No service of this machine, neither by a unit that wants it nor by one that is generated.
units=$root/usr/lib/systemd
rm -rf "$root/etc/systemd/system" "$units"/system/*.wants "$units/system-generators"
mkdir "$root/etc/systemd/system"
exec env -i container=homeward-test PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" \
    /lib/systemd/systemd --unit=sysinit.target --log-target=null
