# shellcheck shell=sh
# Where the packages' programs write what they do: the kernel's log when there is one, else stderr.
log() {
  if [ -w /dev/kmsg ]; then
    echo "${0##*/}: $*" >/dev/kmsg
  else
    echo "${0##*/}: $*" >&2
  fi
}
