#!/bin/sh
# pack.sh DIR: puts the plugin into DIR/beckon, whole, with the check of signed offers from verify/php.
set -eu
to=${1:?pack.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$to"
cp -R "$here/beckon" "$to/"
mkdir -p "$to/beckon/offers"
cp "$here/../../verify/php/offer.php" "$here/../../verify/php/woocommerce.php" "$to/beckon/offers/"
