package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"beckon/bench/contest"
)

// headers are what a browser's fetch sends beside Host and Cookie.
var headers = []string{
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Accept: */*", "Accept-Language: de,en-US;q=0.7,en;q=0.3",
	"Accept-Encoding: gzip, deflate, br, zstd", "Referer: https://shop.example/", "Sec-Fetch-Dest: empty", "Sec-Fetch-Mode: cors", "Sec-Fetch-Site: same-origin",
}

// script makes wrk send the asks in turn; each is spelled once, before the start.
func script(asks []ask) string {
	var b strings.Builder
	b.WriteString("local all = {}\nlocal asks = {\n")
	for _, a := range asks {
		fmt.Fprintf(&b, "{%q, %q, %q},\n", a.path, a.cookie, a.body)
	}
	b.WriteString(`}
init = function()
	for i, a in ipairs(asks) do
		local headers = {}
		for name, value in pairs(wrk.headers) do headers[name] = value end
		if a[2] ~= "" then headers["Cookie"] = a[2] end
		if a[3] == "" then
			all[i] = wrk.format("GET", a[1], headers)
		else
			headers["Content-Type"] = "application/json"
			all[i] = wrk.format("POST", a[1], headers, a[3])
		end
	end
end
local i = 0
request = function()
	i = i % #all + 1
	return all[i]
end
`)
	return b.String()
}

// turn is one turn of a server.
func (c *runCmd) turn(ctx context.Context, p *peer) (contest.Counted, error) {
	file := filepath.Join(c.Dir, "asks.lua")
	if err := os.WriteFile(file, []byte(script(p.asks)), 0o600); err != nil {
		return contest.Counted{}, fmt.Errorf("write %s: %w", file, err)
	}
	args := []string{"-s", file}
	for _, h := range headers {
		args = append(args, "-H", h)
	}
	return contest.Wrk(ctx, c.Load, c.Connections, c.Duration, append(args, "http://"+p.Addr)...)
}
