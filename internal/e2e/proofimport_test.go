package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"beckon/internal/relay"
)

// imports brings a shop's old words, in lines that are taken and in lines that are refused, and looks where they
// could stay: in its spool, with which it is killed, in the list of rejects, in what it says.
func (p *exposed) imports(found places) {
	p.t.Helper()
	file := filepath.Join(p.t.TempDir(), "old.jsonl") // what is read may stay, and is not searched
	if err := os.WriteFile(file, []byte(p.oldLines()), 0o600); err != nil {
		p.t.Fatal(err)
	}
	slow, err := relay.Start(p.s.clickhouse.NativeAddr())
	if err != nil {
		p.t.Fatal(err)
	}
	defer slow.Close()
	slow.Set(relay.Fault{Delay: 2 * pollEvery})
	cut := p.s.imports(file)
	cut.Args = append(cut.Args, "--clickhouse-dsn", strings.Replace(p.s.clickhouse.DSN(), p.s.clickhouse.NativeAddr(), slow.Addr(), 1))
	var said bytes.Buffer
	cut.Stdout, cut.Stderr = &said, &said
	if err := cut.Start(); err != nil {
		p.t.Fatal(err)
	}
	spooled := func() error {
		segments, err := filepath.Glob(p.s.path("spool-import/spool/*.segment"))
		for _, path := range segments {
			if content, err := os.ReadFile(path); err == nil && bytes.Contains(content, []byte("counted")) {
				return nil
			}
		}
		return errors.Join(fmt.Errorf("no record is in the import's spool"), err)
	}
	eventually(p.t, spooled)
	slow.Set(relay.Fault{Hold: true})
	_ = cut.Process.Kill()
	_ = cut.Wait()
	if err := spooled(); err != nil {
		p.t.Error(err)
	}
	p.looksAtImport(found)

	whole := p.s.imports(file)
	whole.Stdout, whole.Stderr = &said, &said
	if err := whole.Run(); err == nil || !strings.Contains(said.String(), " rejected (") {
		p.t.Errorf("import: %v, want some lines refused\n%s", err, &said)
	}
	found.add("import: what it said", said.Bytes())
	p.looksAtImport(found)
}

func (p *exposed) looksAtImport(found places) {
	p.t.Helper()
	for place, path := range map[string]string{"import: spool": "spool-import", "import: rejects": "rejects.jsonl"} {
		if err := found.addFolder(place, p.s.path(path)); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *exposed) oldLines() string {
	word := func(what string) string { return p.with(newCanary(what+" of the import", "old-"+randomHex(6))).value }
	who, visit, id, order, customer := word("visitor"), word("session"), word("event id"), word("order"), word("customer")
	local := "old." + randomHex(6)
	mail := p.with(newCanary("e-mail in the import", local+"@mail.example", local)).value
	at := time.Now().Add(-48 * time.Hour).UnixMilli()
	line := func(site, kind string, at int64, more string) string {
		return fmt.Sprintf(`{"s":%q,"n":%q,"t":%d,"visitor":%q,"session":%q,"country":"DE","device":"mobile","u":"https://shop.example/u/%s/%s?q=%s&utm_source=%s","r":"https://%s@old.example/%s","email":%q,`+
			`"p":{"order":%q,"customer":%q,"coupon":%q,"product":%q,"offer":%q,"value":"9.90","items":[{"product":%q}]}%s}`+"\n",
			site, kind, at, who, visit, mail, p.phone.value, mail, mail, "old", mail, mail, order, customer, p.coupon.value, mail, mail, p.phone.value, more)
	}
	var b strings.Builder
	for _, site := range []string{"demo", "counted"} {
		for _, kind := range []string{"page_view", "product_view", "purchase", "refund"} {
			b.WriteString(line(site, kind, at, ""))
			b.WriteString(line(site, kind, at+1000, `,"i":"`+id+site+kind+`"`))
			b.WriteString(line(site, kind, at+2000, `,"c":{"decide":true,"measure":true,"src":"`+mail+`","ver":"`+who+`"}`))
		}
	}
	for _, bad := range []string{
		line(mail, "purchase", at, ""), line("demo", mail, at, ""), line("demo", "purchase", 1, ""), line("demo", "purchase", at, `,"i":["`+id+`"]`),
		line("demo", "purchase", at, `,"country":"`+mail+`"`), line("demo", "purchase", at, `,"device":"`+mail+`"`), line("demo", "purchase", at, `,"visitor":{"`+who+`":1}`),
		line("demo", "purchase", at, `,"x":"`+strings.Repeat(mail, 3000)+`"`), line("demo", "purchase", at, `,"c":"`+mail+`"`), mail + "\n", `{"` + mail + "\n", who,
	} {
		b.WriteString(bad)
	}
	return b.String()
}
