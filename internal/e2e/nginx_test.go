package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// proxy is a real nginx with the configuration that we ship, on https.
type proxy struct {
	origin string
	roots  *x509.CertPool
	dir    string
}

// startNginx runs deploy/nginx/beckon.conf with the ports of this stack. Around it stands what a shop
// has: a server block with a certificate.
func (s *stack) startNginx() *proxy {
	s.t.Helper()
	shipped, err := os.ReadFile(filepath.Join("..", "..", "deploy", "nginx", "beckon.conf"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, port := range []string{"127.0.0.1:8080", "127.0.0.1:8081"} {
		if !strings.Contains(string(shipped), port) {
			s.t.Fatalf("the configuration does not name %s", port)
		}
	}
	dir := s.t.TempDir()
	p := &proxy{dir: dir, roots: x509.NewCertPool()}
	addr := freeAddresses(s.t, 1)[0]
	p.origin = "https://" + addr
	p.makeCertificate(s.t)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	write("beckon.conf", strings.NewReplacer("127.0.0.1:8080", s.collector.public, "127.0.0.1:8081", s.aggregator.public,
		"error_log /dev/null;", "error_log "+filepath.Join(dir, "px.log")+" warn;").Replace(string(shipped)))
	user := ""
	if os.Getuid() == 0 { // its workers have to reach the folder of the test
		user = "user root;\n"
	}
	write("nginx.conf", user+fmt.Sprintf(`daemon off;
pid %[1]s/pid;
error_log %[1]s/error.log warn;
worker_processes 1;
events { worker_connections 256; }
http {
    access_log %[1]s/access.log;
    client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
    server {
        listen %[2]s ssl;
        ssl_certificate %[1]s/cert.pem;
        ssl_certificate_key %[1]s/key.pem;
        location / { return 200 "the shop\n"; }
        location = /tagged { default_type text/html; return 200 '<!doctype html><script async src="/px/b.js" data-site="demo" data-endpoint="/px"></script>'; }
        include %[1]s/beckon.conf;
    }
}
`, dir, addr))
	cmd := exec.Command(nginxBinary(s.t), "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "error.log"))
	said := newTranscript()
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if s.t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			s.t.Logf("nginx said:\n%s%s", said, log)
		}
	})
	eventually(s.t, func() error {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err
	})
	return p
}

// nginxBinary is that of deploy/dev/setup.sh, which is not on everybody's PATH.
func nginxBinary(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("nginx is missing: run deploy/dev/setup.sh")
	return ""
}

func (p *proxy) makeCertificate(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "EC PRIVATE KEY", Bytes: private}} {
		text := pem.EncodeToMemory(block)
		if err := os.WriteFile(filepath.Join(p.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if block.Type == "CERTIFICATE" {
			p.roots.AppendCertsFromPEM(text)
		}
	}
}

// newVisitor is a browser that comes from an address of its own and trusts the certificate.
func (p *proxy) newVisitor(s *stack, from string) *visitor {
	s.t.Helper()
	v := s.newVisitor("demo")
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	transport := &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: p.roots}}
	s.t.Cleanup(transport.CloseIdleConnections)
	v.client.Transport = transport
	return v
}

func TestBehindNginx(t *testing.T) {
	s := newStack(t)
	const prefix = "/px"
	s.collector.flags = append(s.collector.flags, "--path-prefix", prefix)
	s.aggregator.flags = append(s.aggregator.flags, "--path-prefix", prefix)
	// Only nginx is believed: what the stack says of 127.0.0.0/8 is taken back.
	for i, flag := range s.collector.flags {
		if flag == "127.0.0.0/8" {
			s.collector.flags[i] = "127.0.0.1/32"
		}
	}
	s.collector.openAPI, s.aggregator.openAPI = prefix+"/openapi.json", prefix+"/openapi.json"
	s.start()
	nginx := s.startNginx()
	v := nginx.newVisitor(s, "127.5.6.77")
	px := nginx.origin + prefix
	spoofed := []string{"X-Forwarded-For", "203.0.113.9", "X-Real-IP", "203.0.113.9", "Forwarded", "for=203.0.113.9", "X-Forwarded-Proto", "http", "Referer", "https://shop.example/mugs"}

	a := v.must(200, "GET", px+"/p.gif?s=demo&n=page_view", "", spoofed...)
	line := strings.Join(a.header.Values("Set-Cookie"), "\n")
	cookies := (&http.Response{Header: a.header}).Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies %s", line)
	}
	if c := cookies[0]; c.Name != "__Host-_bk_demo" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 395*24*60*60 {
		t.Errorf("cookie %s", line)
	}
	first := v.jar(nginx)["__Host-_bk_demo"]
	v.must(204, "POST", px+"/e", batch("demo", oneEvent("product_view", newID(), `{"product":"mug"}`)), "Origin", shopOrigin)
	if v.jar(nginx)["__Host-_bk_demo"] != first {
		t.Error("the cookie that came along is not known again")
	}
	v.must(204, "POST", px+"/dev/tomorrow?s=demo", "")
	v.must(200, "GET", px+"/p.gif?s=demo&n=page_view", "", spoofed...)

	t.Run("the visitor's own address is stored, whatever they claim", func(t *testing.T) {
		eventually(t, func() error {
			lines, err := s.query("SELECT network, count(), uniqExact(visitor), countIf(lane = 'decide') FROM events WHERE kind != 'consent' GROUP BY network")
			if err != nil || len(lines) != 1 || strings.Join(lines[0], " ") != "127.5.6.0/24 3 1 3" {
				return fmt.Errorf("stored %v (%v)", lines, err)
			}
			return nil
		})
	})
	t.Run("decisions come under the same prefix, for the cookie of https", func(t *testing.T) {
		var d decision
		var a answer
		eventually(t, func() error {
			a = v.must(200, "GET", px+"/v1/decision?site=demo", "")
			if err := json.Unmarshal(a.body, &d); err != nil || !d.Eligible || d.Token == "" {
				return fmt.Errorf("%s (%v)", a.body, err)
			}
			return nil
		})
		if set := strings.ToLower(strings.Join(a.header.Values("Set-Cookie"), "")); !strings.Contains(set, "_bk_d_demo=") || !strings.Contains(set, "secure") || !strings.Contains(set, "httponly") {
			t.Errorf("grant cookie %q", set)
		}
		a = v.must(200, "POST", px+"/ofrep/v1/evaluate/flags/welcome-back", `{"context":{"site":"demo"}}`)
		if !strings.Contains(string(a.body), d.Token) {
			t.Errorf("the flag says %s", a.body)
		}
		a = v.must(200, "POST", px+"/ofrep/v1/evaluate/flags", `{"context":{}}`, "Origin", shopOrigin)
		if !strings.Contains(string(a.body), d.Token) || a.header.Get("ETag") == "" {
			t.Errorf("all flags say %s, ETag %q", a.body, a.header.Get("ETag"))
		}
		var keys struct{ Keys []json.RawMessage }
		if err := json.Unmarshal(v.must(200, "GET", px+"/.well-known/jwks.json", "").body, &keys); err != nil || len(keys.Keys) == 0 {
			t.Errorf("keys: %v", err)
		}
	})
	t.Run("each service's pages have a place of their own", func(t *testing.T) {
		for path, word := range map[string]string{
			"/px/openapi.json": `"/p.gif"`, "/px/decision/openapi.json": `"/v1/decision"`, "/.well-known/gpc.json": `"gpc":true`, "/px/b.js": "", "/mugs": "the shop",
		} {
			if a := v.must(200, "GET", nginx.origin+path, ""); len(a.body) == 0 || !strings.Contains(strings.ReplaceAll(string(a.body), " ", ""), strings.ReplaceAll(word, " ", "")) {
				t.Errorf("%s: %.200s", path, a.body)
			}
		}
		if a := v.must(404, "GET", px+"/nothing", ""); a.reason() != "not-found" {
			t.Errorf("reason %q", a.reason())
		}
		if a := v.must(413, "POST", px+"/e", strings.Repeat("x", 70<<10)); a.reason() != "too-large" {
			t.Errorf("reason %q", a.reason())
		}
		v.must(200, "POST", px+"/e", batch("demo", oneEvent("search", newID(), `{"ignored":"`+strings.Repeat("x", 60<<10)+`"}`)+`,{"n":"none"}`))
	})
	t.Run("the doctor finds it in order", func(t *testing.T) {
		s.writeSites(strings.Replace(sitesText, `["https://shop.example"]`, `["https://shop.example", "`+nginx.origin+`"]`, 1))
		t.Setenv("SSL_CERT_FILE", filepath.Join(nginx.dir, "cert.pem"))
		eventually(t, func() error { // the services have read the file anew
			d, _ := askDoctor(t, "--url", nginx.origin+"/tagged", "--sites", s.path("sites.yaml"), "--admin", s.collector.admin)
			if found := d.complaints(); len(found) != 1 || !strings.HasPrefix(found[0], "warning tls: the certificate of ") { // which is made for an hour
				return fmt.Errorf("found %q", found)
			}
			return nil
		})
	})
	t.Run("an opt-out ends it", func(t *testing.T) {
		v.must(204, "POST", px+"/optout", "", "Origin", nginx.origin)
		if left := v.jar(nginx); len(left) != 1 || left["_bk_out"] != "1" {
			t.Errorf("cookies left: %v", left)
		}
		if a := v.must(200, "GET", px+"/v1/decision?site=demo", ""); !strings.Contains(string(a.body), "OPTED_OUT") {
			t.Errorf("decision %s", a.body)
		}
	})
	t.Run("nginx keeps nothing of them, also when what is behind it is down", func(t *testing.T) {
		s.collector.stop()
		s.aggregator.stop()
		down := []string{"/px/e", "/px/p.gif?s=demo&n=page_view", "/px/v1/decision?site=demo", "/px/ofrep/v1/evaluate/flags", "/px/.well-known/jwks.json", "/px/openapi.json", "/px/decision/openapi.json", "/.well-known/gpc.json"}
		for _, path := range down {
			v.must(502, "GET", nginx.origin+path, "")
		}
		logs := map[string]string{}
		for _, name := range []string{"access.log", "error.log", "px.log"} {
			log, err := os.ReadFile(filepath.Join(nginx.dir, name))
			if err != nil {
				t.Fatal(err)
			}
			logs[name] = string(log)
		}
		// The shop's own page is in its access log, and nothing of ours.
		if log := logs["access.log"]; !strings.Contains(log, "/mugs") || strings.Contains(log, "/px/") || strings.Contains(log, "/.well-known/") {
			t.Errorf("access.log: %s", log)
		}
		if log := logs["error.log"]; strings.Contains(log, "127.5.6.77") || strings.Contains(log, "/px/") {
			t.Errorf("error.log: %s", log)
		}
		// px.log is /dev/null elsewhere: here it shows what nginx would have kept.
		for _, path := range down {
			if !strings.Contains(logs["px.log"], `client: 127.5.6.77, server: , request: "GET `+path+" ") {
				t.Errorf("nginx says nothing about %s:\n%s", path, logs["px.log"])
			}
		}
		if strings.Contains(logs["px.log"], "temporary file") {
			t.Errorf("px.log: %s", logs["px.log"])
		}
	})
}

// jar is what the browser keeps for the shop.
func (v *visitor) jar(p *proxy) map[string]string {
	v.t.Helper()
	origin, err := url.Parse(p.origin)
	if err != nil {
		v.t.Fatal(err)
	}
	kept := map[string]string{}
	for _, c := range v.client.Jar.Cookies(origin) {
		kept[c.Name] = c.Value
	}
	return kept
}
