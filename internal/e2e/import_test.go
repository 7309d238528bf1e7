package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"beckon/internal/chconn"
	"beckon/internal/recount"
)

// oldShop writes what a shop kept: lines of eighty days, which profiles are kept for, of which every 250th is bad, each in its own way.
func oldShop(name string, lines int) (file []byte, bad int) {
	var b bytes.Buffer
	kinds := []string{"page_view", "product_view", "cart_add", "checkout_start", "purchase"}
	began := time.Now().Add(-80 * 24 * time.Hour).UnixMilli()
	faults := []string{`{`, `{"n":"page_view"}`, `{"s":"demo","n":"nap","t":%d}`, `{"s":"demo","n":"page_view","t":"%d","u":1}`, `{"s":"demo","n":"page_view","t":%d,"i":7}`, `{"s":"demo","n":"page_view","t":1}`}
	for i := range lines {
		at := began + int64(i)*int64(80*24*time.Hour/time.Millisecond)/int64(lines)
		if i%250 == 249 {
			fault := faults[i/250%len(faults)]
			if strings.Contains(fault, "%d") {
				fault = fmt.Sprintf(fault, at)
			}
			fmt.Fprintln(&b, fault)
			bad++
			continue
		}
		visit := i / 8
		fmt.Fprintf(&b, `{"s":"demo","n":%q,"t":%d,"visitor":"%s-%d","session":%d,"country":"DE","device":"desktop","u":"https://shop.example/p/%d?utm_source=mail"`,
			kinds[i%len(kinds)], at, name, visit%97, visit, i%13)
		if i%2 == 0 {
			fmt.Fprintf(&b, `,"i":"%s-%d"`, name, i)
		}
		fmt.Fprintf(&b, `,"p":{"product":"p%d","cart_value":"%d.50","value":"%d.25","order":"%s-%d","currency":"USD"}}`+"\n", i%13, i%50, i%70, name, i)
	}
	return b.Bytes(), bad
}

// imports describes an import of the stack's own folder, which may be killed; file "-" takes what is written to the pipe.
func (s *stack) imports(file string) *exec.Cmd {
	return exec.Command(filepath.Join(binDir, "beckon-collector"), "import", file, "--sites", s.path("sites.yaml"), "--keyring-dir", s.path("keyring"),
		"--clickhouse-dsn", s.clickhouse.DSN(), "--spool-dir", s.path("spool-import"), "--rejects", s.path("rejects.jsonl"))
}

// imported runs an import to its end and wants its summary to begin like this.
func (s *stack) imported(file, want string, ok bool) {
	s.t.Helper()
	cmd := s.imports(file)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if (err == nil) != ok || !strings.HasPrefix(string(out), want) {
		s.t.Errorf("import: %v, %q, want %q\n%s", err, out, want, &said)
	}
	s.t.Logf("%s", out)
}

// recounted holds every aggregate against the events, and the number of events against want.
func (s *stack) recounted(want int) {
	s.t.Helper()
	conn, err := chconn.Open(s.t.Context(), s.clickhouse.DSN())
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	all, err := recount.Read(s.t.Context(), conn, "beckon")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := all.Compare(s.t.Context(), conn, "beckon"); err != nil {
		s.t.Error(err)
	}
	if rows := s.number("SELECT count() FROM events"); len(all) != want || rows != want {
		s.t.Errorf("%d events in %d rows, want %d", len(all), rows, want)
	}
}

func TestImportStoresEachLineOnceHoweverOftenItIsCutOff(t *testing.T) {
	s := newStack(t)
	file, bad := oldShop("first", 10_000)
	if err := os.WriteFile(s.path("old.jsonl"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	good := 10_000 - bad
	s.imported(s.path("old.jsonl"), fmt.Sprintf("10000 lines read, %d stored, 0 already there, %d rejected (malformed: 7, unknown-site: 7, unknown-kind: 7, bad-value: 7, bad-id: 6, too-old: 6), ", good, bad), false)
	s.recounted(good)
	rejects, err := os.ReadFile(s.path("rejects.jsonl"))
	if err != nil || strings.Count(string(rejects), "\n") != bad || !strings.HasPrefix(string(rejects), `{"line":250,"reason":"malformed"}`+"\n") {
		t.Errorf("rejects: %.200s (%v)", rejects, err)
	}
	s.imported(s.path("old.jsonl"), fmt.Sprintf("10000 lines read, 0 stored, %d already there, %d rejected ", good, bad), false)
	s.recounted(good)

	// Of a pipe that stays open the import is killed whenever there is something on its disk, or just was.
	second, bad2 := oldShop("second", 40_000)
	spooled := func() string {
		segments, err := filepath.Glob(s.path("spool-import/spool/*.segment"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(segments, " ")
	}
	for round := range 3 {
		cmd := s.imports("-")
		pipe, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		before, left := s.number("SELECT count() FROM events"), spooled()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		part := bytes.Join(bytes.SplitAfter(second, []byte{'\n'})[:(round+1)*10_500], nil) // a chunk more each time, and a little
		go pipe.Write(part)
		eventually(t, func() error {
			if now := spooled(); round%2 == 0 && now != "" && now != left || round%2 == 1 && s.number("SELECT count() FROM events") > before {
				return nil
			}
			return errors.New("nothing is imported")
		})
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
	out := s.importThroughAnOutage(second)
	if !strings.HasPrefix(out, "40000 lines read, ") {
		t.Errorf("after the kills: %s", out)
	}
	t.Logf("after the kills: %s", out)
	s.recounted(good + 40_000 - bad2)
	s.ledgerCloses()
	if err := os.RemoveAll(s.path("spool-import")); err != nil { // what is stored is known without it
		t.Fatal(err)
	}
	s.imported(s.path("old.jsonl"), fmt.Sprintf("10000 lines read, 0 stored, %d already there, ", good), false)
}

// importThroughAnOutage imports a file while ClickHouse is killed and comes back, and returns the summary.
func (s *stack) importThroughAnOutage(file []byte) string {
	s.t.Helper()
	cmd, said := s.imports("-"), newTranscript()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, said
	pipe, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	half := len(file) / 2 // some chunks
	if _, err := pipe.Write(file[:half]); err != nil {
		s.t.Fatalf("import: %v, %v\n%s", err, cmd.Wait(), said)
	}
	hears := func(word string) {
		s.t.Helper()
		eventually(s.t, func() error {
			if text := said.String(); !strings.Contains(text, word) {
				return fmt.Errorf("the import says %s", text)
			}
			return nil
		})
	}
	hears("line 10000: ")
	s.killClickHouse()
	written := make(chan error, 1)
	go func() { // the import reads no more than it can hold
		_, err := pipe.Write(file[half:])
		written <- errors.Join(err, pipe.Close())
	}()
	hears("again")
	s.restartClickHouse()
	if err := <-written; err != nil {
		s.t.Error(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(said.String(), "some lines were not taken") {
		s.t.Errorf("import: %v\n%s", err, said)
	}
	return out.String()
}

func TestImportSaysWhatIsInItsWay(t *testing.T) {
	s := newStack(t)
	line := fmt.Sprintf(`{"s":"demo","n":"purchase","t":%d}`, time.Now().UnixMilli())
	if err := os.WriteFile(s.path("old.jsonl"), []byte("\n"+line+"\r\n \n"+line), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := func(want string, flags ...string) {
		t.Helper()
		cmd := s.imports(s.path("old.jsonl"))
		cmd.Args = append(cmd.Args, flags...)
		if said, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(said), want) {
			t.Errorf("%v: %v, want %q, said\n%s", flags, err, want, said)
		}
	}
	s.collector.start()
	refused("is the spool of a service", "--spool-dir", s.path("spool"))
	refused("--clickhouse-dsn: connect to clickhouse at 127.0.0.1:1", "--clickhouse-dsn", "clickhouse://127.0.0.1:1/default")
	refused("name another", "--rejects", s.path("old.jsonl"))
	refused(`--site: the sites file has no "nowhere"`, "--site", "nowhere")
	if n := s.number("SELECT count() FROM events"); n != 0 {
		t.Errorf("%d events are stored", n)
	}

	first := s.imports("-")
	var said, out bytes.Buffer
	first.Stderr, first.Stdout = &said, &out
	pipe, err := first.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { _, err := os.Stat(s.path("spool-import/spool/spool")); return err })
	refused("another import runs")
	if err := first.Process.Signal(os.Interrupt); err != nil { // it waits for a line that does not come
		t.Fatal(err)
	}
	if err := first.Wait(); err == nil || !strings.Contains(said.String(), "run the same command again") {
		t.Errorf("an interrupted import: %v, %s", err, &said)
	}
	_ = pipe.Close()
	s.imported(s.path("old.jsonl"), "2 lines read, 2 stored, 0 already there, 0 rejected, ", true)
	s.imported(s.path("old.jsonl"), "2 lines read, 0 stored, 2 already there, 0 rejected, ", true)
}

func TestOrderOfABrowserAndOfTheShopIsOneWithTheShopsAmounts(t *testing.T) {
	s := newStack(t)
	sum := sha256.Sum256([]byte("bks_orders"))
	asks := strings.Replace(sitesText, "consent: {default: decide, allow: decide}", `consent: {default: count, allow: decide}`, 1)
	s.writeSites(strings.Replace(asks, "    holdout: 0%\n", "    holdout: 0%\n    server_keys: [\"sha256:"+hex.EncodeToString(sum[:])+"\"]\n", 1))
	s.collector.start()
	events := "http://" + s.collector.public
	const agreed = `{"v":1,"s":"demo","c":{"decide":true,"measure":true,"src":"banner","ver":"1"},"e":[%s]}`
	order := func(kind, value string) string {
		return fmt.Sprintf(agreed, oneEvent(kind, newID(), `{"order":"A-1001","currency":"EUR","value":"`+value+`","discount":"5","items":[{"product":"mug","quantity":2}]}`))
	}
	v := s.newVisitor("demo")
	v.must(http.StatusNoContent, http.MethodPost, events+"/e", order("purchase", "1.00")) // what a browser can be made to say
	cookie := ""
	u, err := http.NewRequest(http.MethodGet, events, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range v.client.Jar.Cookies(u.URL) {
		cookie = c.Value
	}
	server := s.newVisitor("demo")
	tells := func(body string) {
		t.Helper()
		server.must(http.StatusNoContent, http.MethodPost, events+"/v1/events", body,
			"Authorization", "Bearer bks_orders", "Content-Type", "application/json", "Beckon-Visitor", cookie)
	}
	tells(order("purchase", "49.90"))
	tells(order("refund", "9.90"))
	v.must(http.StatusNoContent, http.MethodPost, events+"/e", order("purchase", "2.00")) // the last word is not the browser's
	eventually(t, func() error {
		lines, err := s.query("SELECT reported_by, value, units, refunds, refunded_site, net_site, currency, visitor != '' FROM v_orders")
		if err != nil {
			return err
		}
		if got, want := fmt.Sprint(lines), "[[server 49.9 2 1 9.9 40 EUR 1]]"; got != want {
			return fmt.Errorf("v_orders says %s, want %s", got, want)
		}
		if n := s.number("SELECT count() FROM events WHERE kind IN ('purchase', 'refund')"); n != 4 {
			return fmt.Errorf("%d events of the order, want 4", n)
		}
		return nil
	})
}
