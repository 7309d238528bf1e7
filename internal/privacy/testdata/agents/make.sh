#!/usr/bin/env bash
# Makes people.tsv.gz and bots.txt from public packages, whose licences are in LICENSES beside this file. It is run
# by hand when newer ones are wanted, and its output is committed; recognition_test.go reads it.
#
# people.tsv.gz: how often, device class and user agent, as its source says.
#   user-agents 2.1.198     a sample of the traffic of real sites: 10,000 visits
#   fake-useragent 2.2.0    an older sample of the same kind: 6,936 visits
#   crawlerdetect 0.4.2     a list of browsers and devices that are no crawlers, mostly of 2016 to 2018: each 20th of
#                           those that name a browser engine (the others are apps' HTTP clients and media players)
# bots.txt: crawlerdetect 0.4.2's list of crawlers, without the strings that crawler-user-agents 1.60.0 has as examples.
#
# mainstream.tsv is not made here. Its 150 user agents are from user-agents 2.1.198, fake-useragent 2.2.0,
# go-useragent v1.2.5 (its folder data) and crawlerdetect 0.4.2, as the first column says; device, browser and
# hints were written by hand, from what each browser is known to send.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$(mktemp -d)"
npm pack --silent user-agents@2.1.198 crawler-user-agents@1.60.0
pip download -q --no-deps --no-binary :all: crawlerdetect==0.4.2 fake-useragent==2.2.0
for f in *.tgz *.tar.gz; do mkdir "d-$f" && tar xzf "$f" -C "d-$f" --strip-components=1; done

{
  echo "# source, visits, device class, user agent. Made by make.sh, licences in LICENSES; do not edit."
  node -e '
    const fs = require("fs"), count = new Map();
    const add = (source, device, ua) => { const k = [source, device, ua].join("\t"); count.set(k, (count.get(k) || 0) + 1) };
    for (const x of require(process.cwd() + "/d-user-agents-2.1.198.tgz/dist/user-agents.json")) add("user-agents", x.deviceCategory, x.userAgent);
    for (const l of fs.readFileSync("d-fake_useragent-2.2.0.tar.gz/src/fake_useragent/data/browsers.jsonl", "utf8").trim().split("\n")) {
      const x = JSON.parse(l); add("fake-useragent", x.type, x.useragent);
    }
    for (const [k, n] of count) { const [source, device, ua] = k.split("\t"); console.log([source, n, device, ua].join("\t")) }'
  sort -u d-crawlerdetect*/tests/fixtures/user_agent/devices.txt | grep -E 'AppleWebKit|Gecko/|Trident|Presto|MSIE' |
    awk 'NR % 20 == 0 { print "crawlerdetect\t1\t\t" $0 }'
} | LC_ALL=C gzip -9n >"$here/people.tsv.gz"

node -p 'require(process.cwd() + "/d-crawler-user-agents-1.60.0.tgz/crawler-user-agents.json").flatMap(x => x.instances).join("\n")' | LC_ALL=C sort -u >examples
{
  echo "# From crawlerdetect 0.4.2. Made by make.sh, licences in LICENSES; do not edit."
  grep -v '^$' d-crawlerdetect*/tests/fixtures/user_agent/crawlers.txt | LC_ALL=C sort -u | LC_ALL=C comm -23 - examples
} >"$here/bots.txt"
