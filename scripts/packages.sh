# Functions for the scripts that install something. Packages of the distribution are installed with apt, as root; without apt,
# the scripts print what is missing, and end.

install() {
    has_apt || fail "missing here: $*; install them and run this again"
    update_lists
    echo "installing: $*" >&2
    as_root env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 \
        apt-get install --yes --quiet --no-install-recommends "$@" >&2
}

# Once: without current lists of packages, apt finds nothing.
lists_updated=false
update_lists() {
    $lists_updated || as_root apt-get update --quiet >&2
    lists_updated=true
}

has_apt() {
    command -v apt-get >/dev/null
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        echo "as root: $*" >&2
        sudo "$@"
    else
        fail "this takes root, and there is no sudo: $*"
    fi
}

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# Where install_cargo_tool installs programs, in "bin".
readonly cargo_tools=$PWD/target/tools

# Arguments: a crate, its exact version, and options for "cargo install", if any.
install_cargo_tool() {
    local name=$1 version=$2
    if ! cargo install --list --root "$cargo_tools" | grep --quiet --line-regexp --fixed-strings "$name v$version:"; then
        cargo install --quiet --locked --debug --root "$cargo_tools" "${@:3}" "$name@$version"
    fi
}

# The version of the project, from Cargo.toml.
project_version() {
    sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1
}
