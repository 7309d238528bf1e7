package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPrivacyProof sends what names a person through every route, error path and panic of both services,
// kills them meanwhile, and then looks for it in all that outlives a request, in every spelling. It prints
// what it looked through: `make privacy-proof`.
func TestPrivacyProof(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-tags", "planted", "-o", bin, "./collector", "./aggregator")
	build.Dir = filepath.Join("..", "..")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build with the planted panic: %v\n%s", err, said)
	}
	s := newStack(t)
	s.collector.binary, s.aggregator.binary = filepath.Join(bin, "collector"), filepath.Join(bin, "aggregator")
	p := newExposed(s)
	sum := sha256.Sum256([]byte(p.key.value))
	s.writeSites(strings.NewReplacer("    holdout: 0%\n", "    holdout: 0%\n    server_keys: [\"sha256:"+hex.EncodeToString(sum[:])+"\"]\n",
		" && visitor.purchases_90d == 0", "").Replace(sitesText) + countedSite)
	s.initKeys()
	s.start()

	p.walk()
	p.v.comesTwice()
	p.v.draws(s.aggregator) // a decision that is kept, with a grant cookie
	s.killClickHouse()      // what comes now stays in the spools
	p.walk()
	p.walkUntilKilled(s.collector, s.aggregator)
	for range 2 {
		s.collector.start()
		s.aggregator.start()
		p.walkUntilKilled(s.aggregator, s.collector)
	}
	found := places{}
	s.lookInto(found, "while ClickHouse is down: ")
	s.restartClickHouse()
	s.start()
	p.walk()
	p.optOut()
	p.imports(found)
	eventually(t, func() error {
		for _, p := range []*service{s.collector, s.aggregator} {
			if n := p.metric(t, "beckon_spool_records"); n > 0 {
				return fmt.Errorf("%v records of %s are not in ClickHouse yet", n, p.name)
			}
		}
		return nil
	})
	found.add("page /probe", p.probe())
	for _, service := range []*service{s.collector, s.aggregator} {
		for _, page := range []string{"/metrics", "/ledger", "/readyz", "/healthz", "/debug/pprof/goroutine?debug=2"} {
			found.add("page "+page, get(t, service.admin, page))
		}
		if panics := service.metric(t, map[string]string{"beckon-collector": "beckon_http_panics_total", "beckon-aggregator": "beckon_decision_panics_total"}[service.name]); panics == 0 {
			t.Errorf("%s did not panic", service.name)
		}
	}
	s.lookInto(found, "")
	s.lookIntoTables(found)
	result := search(found, p.canaries)
	t.Logf("\n%s", result)
	if len(result.hits) > 0 {
		t.Errorf("%d hits, want none", len(result.hits))
	}
	for _, needed := range []string{
		"table beckon.events", "table beckon.decisions", "table beckon.consents", "table beckon.suppressed", "while ClickHouse is down: state folder",
		"logs", "ClickHouse's folder", "import: spool", "import: rejects", "import: what it said", "page /probe", "numbers of beckon.events as addresses",
	} {
		if size := len(bytes.Join(found[needed], nil)); size == 0 {
			t.Errorf("nothing to look through in %s", needed)
		}
	}
	for what, where := range map[string]string{"of lane measure": "lane = 'measure' AND visitor != ''", "that brings a landing page into decide": "kind = 'consent' AND lane = 'decide' AND referrer = 'search.example'", "that brings one into measure": "kind = 'consent' AND lane = 'measure' AND referrer = 'search.example'", "imported": "source = 'import' AND visitor != ''", "of the import, from an order": "source = 'import' AND kind = 'purchase'"} {
		if s.number("SELECT count() FROM events WHERE "+where) == 0 {
			t.Errorf("no event %s was stored", what)
		}
	}
	p.leaksAreFound()
}

// probe has the collector tell how a request arrived that names somebody, as it does for the doctor.
func (p *exposed) probe() []byte {
	p.t.Helper()
	var opened struct{ Probe string }
	if err := json.Unmarshal(get(p.t, p.s.collector.admin, "/probe"), &opened); err != nil {
		p.t.Fatal(err)
	}
	p.sends("POST", p.s.collector.public, "/e", `{"v":1,"s":"demo","e":[]}`, "Beckon-Probe", opened.Probe)
	page := get(p.t, p.s.collector.admin, "/probe?id="+opened.Probe)
	if !bytes.Contains(page, []byte(`"proxied":true`)) {
		p.t.Errorf("the probe says %s", page)
	}
	return page
}

const countedSite = `  - id: counted
    origins: ["https://counted.example"]
    currency: EUR
    consent: {default: measure, allow: measure}
  - id: asks
    origins: ["https://asks.example"]
    currency: EUR
    consent: {default: count, allow: decide}
`

// lookInto adds what is on disk now, and what the processes have said.
func (s *stack) lookInto(found places, when string) {
	s.t.Helper()
	for name, dir := range map[string]string{"state folder": s.dir, "ClickHouse's folder": s.clickhouse.Dir()} {
		if err := found.addFolder(when+name, dir); err != nil {
			s.t.Fatal(err)
		}
	}
	found.add(when+"logs", []byte(s.collector.said.String()))
	found.add(when+"logs", []byte(s.aggregator.said.String()))
	found.add(when+"logs", []byte(s.clickhouse.Log()))
}

// lookIntoTables adds every column of every table as the server hands it out, uncompressed; its own logs too.
// Four bytes are found by chance in so much, so columns of numbers are looked at by value: as the addresses
// that they would be, in either order of bytes.
func (s *stack) lookIntoTables(found places) {
	s.t.Helper()
	tables, err := s.query("SELECT database || '.`' || name || '`', database || '.' || name FROM system.tables WHERE engine LIKE '%MergeTree' OR database = 'system' AND name LIKE '%\\_log' OR (database, name) = ('system', 'processes')")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, table := range tables {
		found.add("table "+table[1], s.dump("SELECT * FROM "+table[0]+" FORMAT RowBinary SETTINGS asterisk_include_alias_columns = 1, asterisk_include_materialized_columns = 1"))
		columns, err := s.query("SELECT name, replaceRegexpAll(type, '(LowCardinality|Nullable|SimpleAggregateFunction)\\((\\w+, )?|\\)', '') AS plain FROM system.columns WHERE database || '.' || table = '" +
			table[1] + "' AND match(plain, '^(Array\\()?(IPv4|IPv6|U?Int32|U?Int64)$')")
		if err != nil {
			s.t.Fatal(err)
		}
		for _, column := range columns {
			list, kind := "[assumeNotNull(`"+column[0]+"`)]", column[1]
			if rest, ok := strings.CutPrefix(kind, "Array("); ok {
				list, kind = "`"+column[0]+"`", rest
			}
			as := "[IPv4NumToString(toUInt32(x)), IPv4NumToString(byteSwap(toUInt32(x)))]"
			if kind == "IPv6" {
				as = "[toString(x)]"
			}
			found.add("numbers of "+table[1]+" as addresses", s.dump("SELECT DISTINCT arrayJoin(arrayFlatten(arrayMap(x -> "+as+", "+list+"))) FROM "+table[0]+" FORMAT TSV"))
		}
	}
}

// dump returns the answer as it is.
func (s *stack) dump(sql string) []byte {
	s.t.Helper()
	reply, err := http.Post("http://"+s.clickhouse.HTTPAddr(), "text/plain", strings.NewReader(sql))
	if err != nil {
		s.t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %d %.200s (%v)", sql, reply.StatusCode, body, err)
	}
	return body
}

func get(t *testing.T, address, path string) []byte {
	t.Helper()
	reply, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// leaksAreFound plants each canary: in all its spellings in memory, then in a file of one of the folders and in
// a row of events, where the whole look is taken again. A search that misses one proves nothing.
func (p *exposed) leaksAreFound() {
	p.t.Helper()
	spellings := 0
	for _, c := range p.canaries {
		for _, n := range c.needles {
			leak := places{"leak": {leaked(n)}}
			if len(search(leak, []*canary{c}).hits) != 1 {
				p.t.Errorf("%s is not found as %s", c.name, n.encoding)
			}
			spellings++
		}
	}
	p.leaksInFiles()
	p.leaksInRows()
	for _, dir := range []string{p.s.path("nothing"), "/proc/self/mem"} { // is not there, cannot be read
		if err := (places{}).addFolder("folder", dir); err == nil {
			p.t.Errorf("%s counts as looked through", dir)
		}
	}
	p.t.Logf("leaks planted: %d in all spellings, %d in files, %d in rows; those that were not found stand above", spellings, len(p.canaries), len(p.canaries))
}

// leaked is a spelling amid other bytes, in capitals where they make no difference.
func leaked(n needle) []byte {
	b := append(append([]byte("some \x00 text "), n.bytes...), " and more"...)
	if !n.exact {
		b = bytes.ToUpper(b)
	}
	return b
}

func (p *exposed) leaksInFiles() {
	p.t.Helper()
	folders := [][2]string{{"state folder", p.s.dir}, {"ClickHouse's folder", p.s.clickhouse.Dir()}, {"state folder", p.s.path("spool")}, {"state folder", p.s.path("spool-import/spool")}}
	write := func(dir, name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			p.t.Fatal(err)
		}
		return path
	}
	var planted []string
	for i, c := range p.canaries {
		planted = append(planted, write(folders[i%len(folders)][1], fmt.Sprintf("leak-%d", i), leaked(c.needles[i%len(c.needles)])))
	}
	planted = append(planted, write(p.s.dir, p.field.value, nil))
	again := places{}
	p.s.lookInto(again, "")
	result := search(again, p.canaries)
	for i, c := range p.canaries {
		if place := folders[i%len(folders)][0]; len(result.hits[[2]string{c.name, place}]) == 0 {
			p.t.Errorf("%s is not found in %s", c.name, planted[i])
		}
	}
	if len(result.hits[[2]string{p.field.name, "state folder (names)"}]) == 0 {
		p.t.Errorf("%s is not found as the name of a file", p.field.name)
	}
	for _, path := range planted {
		if err := os.Remove(path); err != nil {
			p.t.Error(err)
		}
	}
}

func (p *exposed) leaksInRows() {
	p.t.Helper()
	ask := func(sql string) {
		p.t.Helper()
		if _, err := p.s.query(sql); err != nil {
			p.t.Fatal(err)
		}
	}
	var rows []string
	for _, c := range p.canaries {
		rows = append(rows, "('leak', '/"+c.value+"', now())")
	}
	ask("INSERT INTO beckon.events (site, path, received_at) VALUES " + strings.Join(rows, ", "))
	number := "toUInt32(toIPv4('" + p.v4.value + "'))"
	columns := [][2]string{
		{"IPv4", "toIPv4('" + p.v4.value + "')"},
		{"IPv6", "toIPv6('::ffff:" + p.v4.value + "')"},
		{"UInt32", number},
		{"UInt32", "byteSwap(" + number + ")"},
		{"Int32", "reinterpretAsInt32(" + number + ")"},
		{"UInt64", number},
		{"Nullable(UInt32)", number},
		{"Array(UInt32)", "[1, " + number + "]"},
	}
	for i, column := range columns {
		ask(fmt.Sprintf("CREATE TABLE beckon.leak_%d (n %s) ENGINE = MergeTree ORDER BY tuple()", i, column[0]))
		ask(fmt.Sprintf("INSERT INTO beckon.leak_%d SELECT %s", i, column[1]))
	}
	again := places{}
	p.s.lookIntoTables(again)
	result := search(again, p.canaries)
	for _, c := range p.canaries {
		if len(result.hits[[2]string{c.name, "table beckon.events"}]) == 0 {
			p.t.Errorf("%s in a row of events is not found", c.name)
		}
	}
	for i, column := range columns {
		if len(result.hits[[2]string{p.v4.name, fmt.Sprintf("numbers of beckon.leak_%d as addresses", i)}]) == 0 {
			p.t.Errorf("%s in a column %s is not found", p.v4.name, column)
		}
	}
}
