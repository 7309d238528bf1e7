package ingest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/valyala/fasthttp"

	"beckon/internal/hostile"
)

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) text() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

// What names a person is sent in every place that there is, in requests that are taken, refused and that
// panic, and then looked for in all that outlives a request.
func TestNothingRawOutlivesARequest(t *testing.T) {
	var log lockedBuffer
	s := openShop(t, trusting("127.0.0.0/8"), func(c *Config) {
		c.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	const (
		address = "198.51.100.213"
		mail    = "canary.jane@mail.example"
		order   = "CANARYORDER77"
		agent   = "CanaryAgent/9.81"
	)
	from := []with{header("X-Forwarded-For", address), func(r *http.Request) { r.Header.Set("User-Agent", firefox+" "+agent) }}
	s.server.routes["/b.js"].get = func(_ *Server, ctx *fasthttp.RequestCtx) Reason {
		panic(ctx.RemoteAddr().String() + address + mail)
	}
	event := `{"n":"purchase","u":"https://shop.example/` + mail + `?utm_source=` + mail + `&q=` + mail + `","r":"https://search.example/?q=` + mail + `",` +
		`"p":{"order":"` + order + `","coupon":"` + order + `","product":"` + mail + `","secret":"` + mail + `"}}`
	visitor := s.post(batch("demo", event), from...).cookie("_bk_demo").Value
	from = append(from, withCookie("_bk_demo", visitor))
	for _, body := range []string{batch("demo", event), batch(mail, event), `{"` + mail, batch("demo", `{"n":"`+mail+`","i":"`+mail+`"}`)} {
		s.post(body, from...)
	}
	s.get("/p.gif?s=demo&n=page_view&u="+mail+"&r="+mail, from...)
	s.get("/p.gif?s=demo&n="+mail, from...)
	s.get("/"+mail, from...)
	s.get("/b.js", from...)
	hostile.Raw(s.TB, s.addr, "GET /"+mail+" HTTP/1.1\r\nHost: x\r\nX: "+address+"\x00\r\n\r\n")
	if n := s.spool.Stats().Records; n != 3 {
		t.Fatalf("%d records, want 3", n)
	}

	kept := s.kept()
	kept["log"] = log.text()
	raw, err := base64.RawURLEncoding.DecodeString(visitor)
	if err != nil {
		t.Fatal(err)
	}
	bits := netip.MustParseAddr(address).As4()
	for what, canary := range map[string]string{
		"address": address, "address in hex": hex.EncodeToString(bits[:]), "mail": mail, "mail name": "canary.jane",
		"order": order, "agent": agent, "cookie": visitor, "cookie's random bits": string(raw[2:18]),
		"cookie's random bits in hex": hex.EncodeToString(raw[2:18]),
	} {
		for name, content := range kept {
			if strings.Contains(strings.ToLower(string(content)), strings.ToLower(canary)) {
				t.Errorf("%s is in %s", what, name)
			}
		}
	}
}

// kept is what outlives requests: the spool's files, and what monitoring gets to see.
func (s *shop) kept() map[string][]byte {
	s.Helper()
	kept := map[string][]byte{"metrics": s.metricsPage()}
	if err := fs.WalkDir(os.DirFS(s.dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			kept[name] = readFile(s, s.dir+"/"+name)
		}
		return err
	}); err != nil {
		s.Fatal(err)
	}
	if len(kept) < 2 {
		s.Fatalf("nothing to look through: %d files", len(kept))
	}
	return kept
}

// metricsPage is what monitoring gets to see.
func (s *shop) metricsPage() []byte {
	s.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		s.Fatal(err)
	}
	var b bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			s.Fatal(err)
		}
	}
	return b.Bytes()
}
