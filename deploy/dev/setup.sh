#!/bin/sh
# Brings a bare machine to where the tests can run: a C compiler for the race detector, curl for the
# lines that make run prints, a Chromium for the browser test, PHP and Rust for what shops copy, the tag's
# development packages. It installs system packages only as root on Debian or Ubuntu; otherwise it stops and prints the line
# to run.
set -eu
cd "$(dirname "$0")/../.."

need() { # need WHAT PACKAGES COMMAND...: one of the commands must exist
	what=$1 packages=$2
	shift 2
	for c in "$@"; do command -v "$c" >/dev/null 2>&1 && return 0; done
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
		echo "setup: installing $what ($packages)"
		# Lists may be older than the last release of the system, and one source of many may be away.
		apt-get update -qq --allow-releaseinfo-change || echo "setup: apt-get update failed, trying with the lists that are here" >&2
		# shellcheck disable=SC2086 # a list of packages
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
		return 0
	fi
	echo "setup: the tests need $what. Run: sudo apt-get install -y $packages" >&2
	exit 1
}

for c in go node npm git; do
	command -v $c >/dev/null 2>&1 || { echo "setup: $c is missing; Beckon needs Go 1.26, Node 20 with npm, and git" >&2; exit 1; }
done
need "a C compiler" "gcc libc6-dev" gcc cc clang
need "curl" "curl" curl
# Debian starts what it installs, unless a policy says no: the tests start an nginx of their own and use
# promtool alone, and no service may be left listening.
has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }
if { ! has nginx || ! has promtool; } && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && [ ! -e /usr/sbin/policy-rc.d ]; then
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
	trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
need "promtool" "prometheus" promtool
need "nginx" "nginx-light" nginx /usr/sbin/nginx
need "Chromium" "chromium" chromium chromium-browser google-chrome
# What shops copy to check an offer is run in its own languages: verify/.
php -m 2>/dev/null | grep -q pdo_sqlite || need "PHP with SQLite" "php-cli php-sqlite3" "no such command"
if ! [ -d /usr/lib/rustlib/wasm32-wasi ] && ! [ -d "$(rustc --print target-libdir --target wasm32-wasip1 2>/dev/null || echo none)" ]; then
	need "Rust for wasm" "rustc cargo libstd-rust-dev-wasm32 lld-14" "no such command"
fi

# The tag's tools, the official clients that the aggregator is held against, what shop platforms run our code with.
for d in pixel-js internal/e2e/openfeature platforms; do
	installed=$d/node_modules/.package-lock.json # npm writes it last; for dash no file is newer than a missing one
	if [ ! -e $installed ] || [ $d/package-lock.json -nt $installed ]; then
		(cd $d && npm ci --no-audit --no-fund --loglevel=error)
	fi
done
