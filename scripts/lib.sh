# Shared by the scripts in this folder; sourced, not run.
# shellcheck shell=bash

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
log_dir=build/logs
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '%s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# print_help FILE: the comment at the top of a script is its help text.
print_help() { sed -n '2,/^[^#]/ { s/^# \{0,1\}//p }' "$1"; }

# step TITLE COMMAND...: runs the command with its output in build/logs, shows that it is alive, and how long it took.
# When the command fails, the end of its output is printed and the script stops.
step() {
  local title=$1 start=$SECONDS shown=0 log pid status=0
  shift
  mkdir -p "$log_dir"
  log=$log_dir/$(printf '%s' "$title" | tr -cs '[:alnum:]' '-').log
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  # shellcheck disable=SC2064
  trap "kill $pid 2>/dev/null || true" EXIT
  while kill -0 "$pid" 2>/dev/null; do
    if [ -t 1 ]; then
      printf '\r  %-52s %4d s ' "$title ..." $((SECONDS - start))
    elif [ $((SECONDS - start)) -ge $((shown + 30)) ]; then
      shown=$((SECONDS - start))
      printf '  %-52s %4d s so far\n' "$title ..." "$shown"
    fi
    sleep 0.2
  done
  wait "$pid" || status=$?
  trap - EXIT
  [ -t 1 ] && printf '\r'
  if [ "$status" -ne 0 ]; then
    printf '  %-52s FAILED after %d s\n' "$title" $((SECONDS - start))
    sed 's/^/    | /' "$log" | tail -n 60
    die "'$*' ended with status $status; all of its output is in $log"
  fi
  printf '  %-52s %4d s       \n' "$title" $((SECONDS - start))
}

# The digest of files' names and contents.
digest() { find "$@" -type f ! -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1; }

# stamped FILE DIGEST: whether the work that FILE records was done for this very input.
stamped() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# as_root COMMAND...: how Debian packages get installed; fails where there is neither root nor a sudo without password.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# need_debian PACKAGE...: installs Debian packages that a check has just found missing.
need_debian() {
  command -v apt-get >/dev/null || die "missing: $* (Debian's names); please install them and call this again"
  as_root true 2>/dev/null || die "missing Debian packages; please run: sudo apt-get install $*"
  step "Debian's package lists" as_root apt-get update
  step "Debian packages: $*" as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

cpu_count() { nproc 2>/dev/null || echo 2; }
