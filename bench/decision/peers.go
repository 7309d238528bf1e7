package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"beckon/bench/contest"
)

// opaModule is what OPA is built from when nobody names a binary.
const opaModule = "github.com/open-policy-agent/opa@v1.22.3"

// ask is one visitor's request. Servers that know nothing of cookies have their own path or body.
type ask struct{ path, cookie, body string }

// peer is one of those that take turns.
type peer struct {
	*contest.Server
	asks []ask
}

// startAggregator starts the endpoint with its visitors in memory. The first request of each visitor, which is
// recorded before it is answered, is behind it.
func startAggregator(ctx context.Context, c *runCmd) (*peer, error) {
	dir, err := os.MkdirTemp(c.Dir, "aggregator-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	s, err := contest.StartOwn(ctx, "aggregator", c.Server, "serve", "--dir", dir, "--visitors", strconv.Itoa(c.Visitors), "--cached", strconv.Itoa(c.Visitors))
	if err != nil {
		return nil, err
	}
	s.Dir = dir
	p := &peer{Server: s}
	var cookies []string
	if err := readJSON(filepath.Join(dir, "cookies"), &cookies); err != nil {
		return p, err
	}
	for _, cookie := range cookies {
		p.asks = append(p.asks, ask{path: "/v1/decision?site=demo", cookie: cookie})
	}
	return p, nil
}

// answers asks once for each visitor, and returns the answers. All of them must have the offer.
func (p *peer) answers(ctx context.Context) ([][]byte, error) {
	var all [][]byte
	for _, a := range p.asks {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Addr+a.path, nil)
		if err != nil {
			return nil, fmt.Errorf("make a request: %w", err)
		}
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			req.Header.Set(name, value)
		}
		req.Header.Set("Cookie", a.cookie)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, fmt.Errorf("first request: %w", err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(b), `"eligible":true`) {
			return nil, errors.Join(fmt.Errorf("first request: %s: %s", resp.Status, b), err)
		}
		all = append(all, b)
	}
	return all, nil
}

func startBare(ctx context.Context, c *runCmd, body []byte) (*peer, error) {
	file := filepath.Join(c.Dir, "body.json")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		return nil, fmt.Errorf("write %s: %w", file, err)
	}
	s, err := contest.StartOwn(ctx, "bare fasthttp", c.Server, "fasthttp", "--body", file)
	return &peer{Server: s}, err
}

// startWebdis starts Redis with every answer in it, and webdis in front, both on the core.
func startWebdis(ctx context.Context, c *runCmd, answers [][]byte) (*peer, error) {
	dir, err := os.MkdirTemp(c.Dir, "webdis-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	redisPort, err := contest.FreePort()
	if err != nil {
		return nil, err
	}
	httpPort, err := contest.FreePort()
	if err != nil {
		return nil, err
	}
	redis := &contest.Server{Name: "redis", Addr: fmt.Sprintf("127.0.0.1:%d", redisPort)}
	redis.Cmd = contest.Pinned(ctx, c.Server, "redis-server", "--port", strconv.Itoa(redisPort), "--bind", "127.0.0.1", "--dir", dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning")
	if err := redis.Cmd.Start(); err != nil {
		return nil, fmt.Errorf("start redis: %w", err)
	}
	config := fmt.Sprintf(`{"redis_host":"127.0.0.1","redis_port":%d,"http_host":"127.0.0.1","http_port":%d,"threads":1,"pool_size":20,"daemonize":false,"verbosity":0,"logfile":%q}`,
		redisPort, httpPort, filepath.Join(dir, "webdis.log"))
	file := filepath.Join(dir, "webdis.json")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		redis.Stop()
		return nil, fmt.Errorf("write %s: %w", file, err)
	}
	if err := errors.Join(contest.Listens(redis.Addr, 5*time.Second), load(redis.Addr, answers)); err != nil {
		redis.Stop()
		return nil, err
	}
	p := &peer{Server: &contest.Server{
		Name: "webdis and Redis", Beside: redis, Addr: fmt.Sprintf("127.0.0.1:%d", httpPort), Dir: dir, Cmd: contest.Pinned(ctx, c.Server, "webdis", file),
	}}
	if err := p.Cmd.Start(); err != nil {
		redis.Stop()
		return nil, fmt.Errorf("start webdis: %w", err)
	}
	for i := range answers {
		p.asks = append(p.asks, ask{path: fmt.Sprintf("/GET/v%d.txt?type=application/json", i)})
	}
	if err := contest.Listens(p.Addr, 5*time.Second); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// load puts the answers into Redis, by its own protocol.
func load(addr string, answers [][]byte) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return fmt.Errorf("connect to redis: %w", err)
	}
	defer conn.Close()
	for i, a := range answers {
		key := "v" + strconv.Itoa(i)
		fmt.Fprintf(conn, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(key), key, len(a), a)
		ok := make([]byte, 5)
		if _, err := io.ReadFull(conn, ok); err != nil || string(ok) != "+OK\r\n" {
			return errors.Join(fmt.Errorf("redis took no answer: %q", ok), err)
		}
	}
	return nil
}

const policy = `package beckon

default decision := {"eligible": false}

decision := {"eligible": true, "offer": data.offers["welcome-back"]} if {
	v := data.visitors[input.visitor]
	v.sessions_7d >= 2
	v.purchases_90d == 0
	v.cart_value < 500
	v.minutes_since_last_seen < 1440
	v.country == "DE"
}
`

// startOPA starts a policy engine with the same rule, and the visitors' values in its memory.
func startOPA(ctx context.Context, c *runCmd) (*peer, error) {
	dir, err := os.MkdirTemp(c.Dir, "opa-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	visitors := map[string]any{}
	p := &peer{}
	for i := range c.Visitors {
		id := fmt.Sprintf("v%d", i)
		visitors[id] = map[string]any{"sessions_7d": 2, "purchases_90d": 0, "cart_value": 40, "minutes_since_last_seen": 1, "country": "DE"}
		p.asks = append(p.asks, ask{path: "/v1/data/beckon/decision", body: `{"input":{"visitor":"` + id + `"}}`})
	}
	data, err := json.Marshal(map[string]any{
		"visitors": visitors, "offers": map[string]any{"welcome-back": map[string]any{"id": "welcome-back", "kind": "percent", "percent": 10, "title": "10% off"}},
	})
	if err != nil {
		return nil, fmt.Errorf("encode OPA's data: %w", err)
	}
	for name, text := range map[string][]byte{"policy.rego": []byte(policy), "data.json": data} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
	}
	port, err := contest.FreePort()
	if err != nil {
		return nil, err
	}
	p.Server = &contest.Server{Name: "OPA", Addr: fmt.Sprintf("127.0.0.1:%d", port), Dir: dir}
	p.Cmd = contest.Pinned(ctx, c.Server, c.Opa, "run", "--server", "--addr", p.Addr, "--log-level", "error", "--disable-telemetry",
		filepath.Join(dir, "policy.rego"), filepath.Join(dir, "data.json"))
	if err := p.Cmd.Start(); err != nil {
		return nil, fmt.Errorf("start OPA: %w", err)
	}
	if err := contest.Listens(p.Addr, 10*time.Second); err != nil {
		p.Stop()
		return nil, err
	}
	resp, err := http.Post("http://"+p.Addr+p.asks[0].path, "application/json", strings.NewReader(p.asks[0].body))
	if err != nil {
		p.Stop()
		return nil, fmt.Errorf("ask OPA: %w", err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); !strings.Contains(string(b), `"eligible":true`) {
		p.Stop()
		return nil, fmt.Errorf("OPA says %s: %s", resp.Status, b)
	}
	return p, nil
}

// buildOPA builds OPA outside of this module: nothing of Beckon needs it.
func buildOPA(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for OPA: %w", err)
	}
	dir := filepath.Join(cache, "beckon", "opa")
	binary := filepath.Join(dir, "opa")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	fmt.Fprintln(os.Stderr, "building", opaModule, "(once; some minutes)")
	cmd := exec.CommandContext(ctx, "go", "install", opaModule)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=-mod=mod")
	cmd.Dir = os.TempDir()
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build OPA: %w", err)
	}
	return binary, nil
}

func readJSON(file string, into any) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return nil
}
