# Shuts this machine down at its expiry. The control plane writes the expiry; this script reads it.
set -u
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
folder="${MIXTRAL_FOLDER:-/var/lib/mixtral-bot}"
metadata="${MIXTRAL_METADATA_URL:-http://169.254.169.254}"
every="${MIXTRAL_DEADMAN_SECONDS:-15}"

ask() {
  curl --silent --fail --noproxy "*" --max-time 5 "$@"
}

read_expiry() {
  if [ "${MIXTRAL_CLOUD:-aws}" = gcp ]; then
    ask --header "Metadata-Flavor: Google" "$metadata/computeMetadata/v1/instance/attributes/mixtral-expiry"
  else
    local token
    token="$(ask --request PUT --header "X-aws-ec2-metadata-token-ttl-seconds: 60" "$metadata/latest/api/token")" &&
      echo "X-aws-ec2-metadata-token: $token" |
      ask --header @- "$metadata/latest/meta-data/tags/instance/mixtral-expiry"
  fi
}

# Converts Unix seconds, or ISO 8601 with a time zone, to Unix seconds; fails for any other text.
seconds() {
  if [[ $1 =~ ^[1-9][0-9]{8,10}$ ]]; then
    echo "$1"
  elif [[ $1 =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+)$ ]]; then
    date --date="$1" +%s
  else
    return 1
  fi
}

# Errors are ignored: if the disk is full, this process still has the value.
keep() {
  { echo "$1" >"$folder/expiry.new" && mv "$folder/expiry.new" "$folder/expiry"; } 2>/dev/null
}

exec 9>"$folder/deadman.lock"
flock --nonblock 9 || exit 0
known="$(cat "$folder/expiry" 2>/dev/null)"
known="$(seconds "$known")" || known="$(($(date +%s) + 7200))"
keep "$known"
armed=""
armed_at=0
while true; do
  if newest="$(seconds "$(read_expiry)")" && [ "$newest" != "$known" ]; then
    known="$newest"
    keep "$known"
  fi
  left="$((known - $(date +%s)))"
  if [ "$left" -le 0 ]; then
    echo "mixtral-deadman: expired at $(date --utc --date="@$known" +%FT%TZ), shutting down"
    shutdown -h now
  elif [ "$armed" != "$known" ] || [ "$((SECONDS - armed_at))" -ge 600 ]; then # again, in case the shutdown was cancelled
    [ "$armed" = "$known" ] ||
      echo "mixtral-deadman: this machine shuts down at $(date --utc --date="@$known" +%FT%TZ) unless its expiry is extended"
    shutdown --no-wall -h "+$(((left + 59) / 60))" && armed="$known" && armed_at="$SECONDS"
  fi
  sleep "$every" 9>&-
done
