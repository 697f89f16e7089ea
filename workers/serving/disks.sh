# The machine's own disks. The functions are called by bootstrap.sh and use its variables.

local_disks() { # prints the machine's own NVMe disks
  local link
  for link in "$root"/dev/disk/by-id/{google-local-nvme-ssd-,nvme-Amazon_EC2_NVMe_Instance_Storage_}*; do
    [[ ! -e $link || $link = *-part* ]] || readlink -f "$link"
  done | sort --unique
}

# The machine's own disks are faster than the rented one, and empty after the machine was stopped. Without them, or if
# they cannot be used, everything is on the rented one.
use_local_disks() {
  local disks label=mixtral-local at="$folder/local" device
  mapfile -t disks < <(local_disks)
  [ "${#disks[@]}" -gt 0 ] || return
  if [ -d "$root/opt/dlami" ]; then # AWS's image mounts them itself
    at="$root/opt/dlami/nvme"
    local deadline="$((SECONDS + 60))" why="$at is not mounted"
    until mountpoint --quiet "$at" || [ "$SECONDS" -ge "$deadline" ]; do sleep 1 8>&-; done
  elif device="$(blkid --label "$label")"; then
    mkdir -p "$at" && try mount "$device" "$at"
  else
    device="${disks[0]}"
    if [ "${#disks[@]}" -gt 1 ]; then
      command -v mdadm >/dev/null || try apt install mdadm
      device=/dev/md/mixtral
      try mdadm --create "$device" --run --level=0 --raid-devices="${#disks[@]}" "${disks[@]}"
    fi
    try mkfs.ext4 -q -F -m 0 -L "$label" "$device" && mkdir -p "$at" && try mount "$device" "$at"
  fi
  mountpoint --quiet "$at" || { say "the machine's own disks cannot be used: $why" && return; }
  say "weights and images are on ${#disks[@]} disks of the machine itself"
  onto "$at" "$folder/cache"
  [ "$needs_docker" = no ] || mountpoint --quiet "$root/var/lib/docker" || {
    systemctl stop docker.socket docker containerd 2>/dev/null
    onto "$at" "$root/var/lib/docker"
    onto "$at" "$root/var/lib/containerd"
    systemctl start containerd docker.socket docker 2>/dev/null
  }
}

onto() { # DISK FOLDER
  mountpoint --quiet "$2" || { mkdir -p "$1/mixtral/${2##*/}" "$2" && mount --bind "$1/mixtral/${2##*/}" "$2"; }
}
