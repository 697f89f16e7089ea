# Shuts this machine down at its expiry. The control plane writes the expiry; this script reads it.
set -u
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
folder="${MIXTRAL_FOLDER:-/var/lib/mixtral-bot}"
metadata="${MIXTRAL_METADATA_URL:-http://169.254.169.254}"
every="${MIXTRAL_DEADMAN_SECONDS:-15}"
patience="${MIXTRAL_DEADMAN_PATIENCE_SECONDS:-600}"

ask() {
  curl --silent --fail --noproxy "*" --max-time 5 "$@"
}

read_expiry() { # prints the headers and, in the last line, the expiry
  if [ "${MIXTRAL_CLOUD:-aws}" = gcp ]; then
    ask --include --header "Metadata-Flavor: Google" "$metadata/computeMetadata/v1/instance/attributes/mixtral-expiry"
  else
    local token
    token="$(ask --request PUT --header "X-aws-ec2-metadata-token-ttl-seconds: 60" "$metadata/latest/api/token")" &&
      echo "X-aws-ec2-metadata-token: $token" |
      ask --include --header @- "$metadata/latest/meta-data/tags/instance/mixtral-expiry"
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

# The machine's clock may be wrong, and may jump. So the time is the metadata server's, plus the time since its answer.
read_clock() { # sets `up` and `now`, and `hundredths` since boot
  local rest
  read -r up rest </proc/uptime
  hundredths="$((10#${up/./}))"
  up="${up%%.*}"
  now="$((offset ? (hundredths + offset) / 100 : $(date +%s)))"
}

hear() { # sets `newest` and `offset`; fails if the metadata server gives no expiry
  local answer sent date=$'(^|\n)date: ([^\r\n]+)'
  answer="$(read_expiry)" || return
  read_clock
  if [[ ${answer,,} =~ $date ]] && sent="$(date --date="${BASH_REMATCH[2]}" +%s 2>/dev/null)"; then
    offset="$((sent * 100 - hundredths))"
  fi
  newest="$(seconds "${answer##*$'\n'}")"
}

exec 9>"$folder/deadman.lock"
flock --nonblock 9 || exit 0
offset=0 # hundredths: the metadata server's time minus the time since boot; 0 until the server has returned its time
read_clock
listens_until="$((up + patience))"
stored="$(seconds "$(cat "$folder/expiry" 2>/dev/null)")" # armed before the metadata server is asked
known="${stored:-$((now + 7200))}"
keep "$known"
armed=""
armed_at=0
armed_clock=0
while true; do
  pause="$every"
  if [ -n "$stored" ]; then
    stored="" pause=0
  elif hear && [ "$newest" != "$known" ]; then
    known="$newest"
    keep "$known"
  fi
  read_clock
  left="$((known - now))"
  # By the machine's own clock alone, it ends only after the metadata server had time to answer.
  [ "$offset" != 0 ] || [ "$left" -ge "$((listens_until - up))" ] || left="$((listens_until - up))"
  clock="$(($(date +%s) - up))"
  jump="$((clock - armed_clock))" # a scheduled shutdown follows the machine's clock
  if [ "$left" -le 0 ]; then
    echo "mixtral-deadman: expired at $(date --utc --date="@$known" +%FT%TZ), shutting down"
    shutdown -h now
  elif [ "$armed" != "$known" ] || [ "$((up - armed_at))" -ge 600 ] || [ "${jump#-}" -ge 60 ]; then # or it was cancelled
    [ "$armed" = "$known" ] ||
      echo "mixtral-deadman: this machine shuts down at $(date --utc --date="@$known" +%FT%TZ) unless its expiry is extended"
    shutdown --no-wall -h "+$(((left + 59) / 60))" && armed="$known" && armed_at="$up" && armed_clock="$clock"
  fi
  sleep "$pause" 9>&-
done
