# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034 # those that source it use them
# Sourced by the scripts of this folder. Everything they fetch or build lies in
# the cache; each result is complete once its last step, a rename or a stamp,
# is done, so an interrupted run costs time but never correctness.

cache=${PATCNN_CACHE:-$HOME/.cache/patcnn}
here=$(cd "$(dirname "$0")" && pwd)
self=${0##*/}

die() {
	echo "$self: $*" >&2
	exit 1
}

say() {
	echo "$self: $*" >&2
}

# need COMMAND PACKAGE: names the package, because the command's name seldom does.
need() {
	command -v "$1" >/dev/null || die "needs $1: install the Debian package $2"
}

# deb_arch NAME: Debian's name for a machine, whatever name it was given by.
deb_arch() {
	case $1 in
	x86_64 | amd64) echo amd64 ;;
	aarch64 | arm64) echo arm64 ;;
	um) echo um ;;
	*) die "no such architecture: $1 (x86_64, arm64, um)" ;;
	esac
}

# lock NAME: hold it until this process ends; children must not inherit it.
lock() {
	mkdir -p "$cache"
	exec 9>"$cache/$1.lock"
	flock 9
}
