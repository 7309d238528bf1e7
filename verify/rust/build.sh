#!/bin/sh
# Builds the function and prints the path of the wasm file. It takes the cargo on PATH when that has the
# wasm target (rustup target add wasm32-wasip1), else Debian's: rustc, cargo, libstd-rust-dev-wasm32, lld-14.
set -eu
cd "$(dirname "$0")"
target=wasm32-wasip1
if ! [ -d "$(rustc --print target-libdir --target $target 2>/dev/null || echo none)" ]; then
	target=wasm32-wasi # its name before Rust 1.78
	export RUSTC=/usr/bin/rustc
	PATH=/usr/bin:$PATH
	# Debian's cargo knows the fast index of crates, but keeps it for those who say so.
	export RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_SPARSE_REGISTRY=true
fi
cargo build --quiet --locked --release --target $target >&2
echo "$PWD/target/$target/release/beckon-offer.wasm"
