#!/usr/bin/env bash
# Builds the disks of the guests in the folder $1: bare.img without a Docker engine, docker.img with one; vmlinuz and
# initrd; engine.tar, Python with its libraries for the engine's container. As root, on Debian or Ubuntu.
#
# Packages come from where this computer's apt takes them, if it is the same release of Debian; neither the address
# nor a proxy is written anywhere but into the disks.
set -euo pipefail
folder=$1
release=bookworm
root="$folder/root"
rm -rf "$root"

sources=()
# shellcheck source=/dev/null
if [ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" = "$release" ]; then
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
    [ ! -s "$file" ] || sources+=("$file")
  done
fi
apt-config dump | { grep -E '^Acquire::(Check|http|https|Retries)[^ ]* "[^"]' || true; } >"$folder/apt.conf"

packages=(
  systemd-sysv udev dbus kmod iproute2 procps ca-certificates curl sudo gnupg python3
  initramfs-tools lz4 linux-image-cloud-amd64 cloud-init google-guest-agent
)
mmdebstrap --quiet --mode=root --variant=minbase --skip=cleanup/apt/lists --aptopt="$folder/apt.conf" \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --setup-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
  --setup-hook='printf "MODULES=list\nCOMPRESS=lz4\n" >"$1/etc/initramfs-tools/conf.d/guest"' \
  --setup-hook='printf "virtio_pci\nvirtio_blk\nvirtio_net\next4\n" >"$1/etc/initramfs-tools/modules"' \
  --include="$(IFS=,; echo "${packages[*]}")" "$release" "$root" "${sources[@]}"

write() { mkdir -p "$root$(dirname "$1")" && cat >"$root$1"; }

echo machine >"$root/etc/hostname"
# No machine of a test reaches the real registry: where the mirror does not answer, nothing does.
write /etc/hosts <<'EOF'
127.0.0.1 localhost machine
169.254.169.254 metadata.google.internal
127.0.0.1 registry-1.docker.io auth.docker.io
EOF
echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"
write /etc/systemd/network/50-dhcp.network <<'EOF'
[Match]
Name=en* eth*
[Network]
DHCP=ipv4
EOF
write /etc/cloud/cloud.cfg.d/99-guest.cfg <<'EOF'
datasource_list: [ Ec2, GCE ]
datasource: { Ec2: { timeout: 10 } }
network: { config: disabled }
apt: { preserve_sources_list: true }
manage_etc_hosts: false
# Those that a disk of this size and a user data script need; each costs seconds on an emulated processor.
cloud_init_modules: [ seed_random, bootcmd, write-files, set_hostname ]
cloud_config_modules: [ runcmd ]
cloud_final_modules: [ scripts-vendor, scripts-per-once, scripts-per-boot, scripts-per-instance, scripts-user, final-message ]
EOF
# Google's images print a startup script's output on the console, by a setting of syslog.
for unit in google-startup-scripts google-shutdown-scripts google-guest-agent; do
  write "/etc/systemd/system/$unit.service.d/guest.conf" <<'EOF'
[Unit]
ConditionKernelCommandLine=guest.cloud=gcp
[Service]
StandardOutput=journal+console
StandardError=journal+console
EOF
done
# A root shell on the second serial port, by which a scene acts inside the machine.
write /etc/systemd/system/guest-shell.service <<'EOF'
[Unit]
DefaultDependencies=no
After=systemd-remount-fs.service systemd-udevd.service
[Service]
ExecStartPre=/bin/stty -F /dev/ttyS1 raw -echo
ExecStart=/bin/bash -c 'while read -r line; do eval "$$line"; done'
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
StandardInput=file:/dev/ttyS1
StandardOutput=file:/dev/ttyS1
StandardError=inherit
Restart=always
[Install]
WantedBy=sysinit.target
EOF
# A full disk: all but this many bytes are taken before anything is served.
write /etc/systemd/system/guest-fill.service <<'EOF'
[Unit]
ConditionKernelCommandLine=guest.full
Before=docker.service containerd.service cloud-init-local.service
After=local-fs.target
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/bash -c 'fallocate -l "$(($(df --output=avail -B1 / | tail -1) - 20000000))" /filler'
[Install]
WantedBy=sysinit.target
EOF
# Stubs for what only a machine with a GPU has. Real Docker accepts `--gpus` where it finds the hook.
write /usr/bin/nvidia-smi <<'EOF'
#!/bin/bash
# A stub: one GPU.
case "$*" in
  *--query-gpu=name*) echo "NVIDIA L4" ;;
  *--query-gpu=driver_version*) echo "580.95.05" ;;
  *--query-gpu=memory*) echo "23034" ;;
  *) echo "GPU 0: NVIDIA L4 (UUID: GPU-00000000-0000-0000-0000-000000000000)" ;;
esac
EOF
printf '#!/bin/sh\n# A stub: gives the container nothing.\n' | write /usr/bin/nvidia-container-runtime-hook
write /usr/bin/nvidia-ctk <<'EOF'
#!/bin/sh
# A stub: configures Docker as NVIDIA's does, with the usual runtime under another name.
cp /usr/share/guest/daemon-nvidia.json /etc/docker/daemon.json
EOF
chmod 755 "$root"/usr/bin/nvidia-*
write /etc/docker/daemon.json <<'EOF'
{ "registry-mirrors": ["http://169.254.169.254:5000"], "insecure-registries": ["169.254.169.254:5000"] }
EOF
write /usr/share/guest/daemon-nvidia.json <<'EOF'
{ "registry-mirrors": ["http://169.254.169.254:5000"], "insecure-registries": ["169.254.169.254:5000"],
  "runtimes": { "nvidia": { "path": "runc" } } }
EOF
# What serves no scene: each costs seconds on an emulated processor.
units=(apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer
  dpkg-db-backup.timer systemd-pstore.service getty@tty1.service systemd-hwdb-update.service ldconfig.service
  systemd-journal-catalog-update.service systemd-update-done.service systemd-timesyncd.service
  systemd-binfmt.service modprobe@fuse.service modprobe@drm.service modprobe@efi_pstore.service
  sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount cloud-config.service)
chroot "$root" systemctl --quiet mask "${units[@]}"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id" # a new one makes systemd configure all units again
chroot "$root" systemctl --quiet enable systemd-networkd guest-shell guest-fill

cp -L "$root/vmlinuz" "$root/initrd.img" "$folder/"
# The guest's own apt would download these; a scene is not the place to measure the network.
chroot "$root" apt-get install -q -y --no-install-recommends --download-only docker.io
disk() { rm -f "$folder/$1.new" && mke2fs -q -m 0 -t ext4 -d "$root" "$folder/$1.new" 4G && mv "$folder/$1.new" "$folder/$1"; }
disk bare.img
# Without this, the package's script starts no service in the chroot, and says so as an error.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod 755 "$root/usr/sbin/policy-rc.d"
DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -q -y --no-install-recommends docker.io
cp "$root/usr/share/guest/daemon-nvidia.json" "$root/etc/docker/daemon.json" # as AWS's image has it
rm -f "$root/usr/sbin/policy-rc.d" "$root"/var/cache/apt/archives/*.deb
disk docker.img

libraries=(libc6 zlib1g libexpat1 libssl3 libffi8 libbz2-1.0 liblzma5 libuuid1 libpython3.11-minimal
  libpython3.11-stdlib python3.11-minimal)
# Without folders; a path through the link /lib is not one for an archive, so all are below /usr.
for package in "${libraries[@]}"; do chroot "$root" dpkg --listfiles "$package"; done | sed 's#^/lib#/usr/lib#' | sort -u |
  while read -r path; do [ -d "$root$path" ] || [ ! -e "$root$path" ] || echo ".$path"; done >"$folder/engine.files"
printf './lib\n./lib64\n' >>"$folder/engine.files"
tar --create --directory "$root" --files-from "$folder/engine.files" --file "$folder/engine.tar" \
  --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner
rm -rf "$root" "$folder/engine.files" "$folder/apt.conf"
