// Command dev is `make run`: the whole of Beckon on one machine, for a newcomer and for daily work.
// It fetches the ClickHouse engine once, starts it, applies the schema, starts both binaries and the
// demo shop, and stops everything in order on Ctrl-C. Data stays in the state folder.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	demoshop "beckon/deploy/demo-shop"
	"beckon/internal/chconn"
	"beckon/internal/chlocal"
	"beckon/internal/fetch"
	"beckon/internal/keyring"
	"beckon/schema"
)

const database = "beckon"

func main() {
	chlocal.Main()
	c := parse()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if err := c.run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(os.Stderr, "make run: %v\n", err)
		os.Exit(1)
	}
}

// run starts the parts from the end of the data path and stops them from its beginning, so that what
// the collector has accepted is loaded before ClickHouse goes.
func (c *Config) run(ctx context.Context) (err error) {
	if c.FetchOnly {
		return fetchAll(ctx)
	}
	if err := c.validate(); err != nil {
		return err
	}
	if err := c.makeState(); err != nil {
		return err
	}
	sites, file, err := c.sitesFile()
	if err != nil {
		return err
	}
	if _, err := keyring.Init(c.path("keyring"), ids(file)); err != nil {
		return err
	}
	geo, err := fetch.GeoCountry(ctx, os.Stderr)
	if err != nil {
		return err
	}
	var running stack
	defer func() { err = errors.Join(err, running.stop()) }()

	dsn := c.serverDSN()
	ended := make(chan error, 4)
	if dsn == "" {
		ch, err := c.startClickHouse(ctx)
		if err != nil {
			return err
		}
		running.push(ch.Stop)
		go func() { <-ch.Exited(); ended <- errors.New("ClickHouse ended") }()
		dsn = ch.DSN()
	}
	if err := applySchema(ctx, dsn); err != nil {
		return err
	}
	common := []string{"--sites", sites, "--keyring-dir", c.path("keyring"), "--database", database, "--dev-switches"}
	for _, s := range []struct {
		name, admin string
		args        []string
	}{
		{"beckon-aggregator", c.AggregatorAdmin, []string{
			"--listen", c.Aggregator, "--admin", c.AggregatorAdmin, "--spool-dir", c.path("spool-decisions"), "--issuer", c.issuer(), "--trusted-proxy", "127.0.0.0/8",
		}},
		{"beckon-collector", c.CollectorAdmin, []string{
			"--listen", c.Collector, "--admin", c.CollectorAdmin, "--spool-dir", c.path("spool"), "--geo", geo, "--trusted-proxy", "127.0.0.0/8",
		}},
	} {
		service, err := startService(s.name, c.path("log", s.name+".log"), []string{"BECKON_CLICKHOUSE_DSN=" + dsn}, append(append([]string{"serve"}, common...), s.args...)...)
		if err != nil {
			return err
		}
		running.push(service.stop)
		if err := service.waitReady(ctx, s.admin); err != nil {
			return err
		}
		go func() { <-service.ended; ended <- fmt.Errorf("%s ended", service.name) }()
	}
	if !c.NoShop {
		shop, err := c.startShop(file.Sites[0].ID)
		if err != nil {
			return err
		}
		running.push(shop.Close)
	}
	c.summary(os.Stdout, file.Sites[0])
	select {
	case <-ctx.Done():
		fmt.Fprintln(os.Stderr, "\nstopping ...")
		return nil
	case err := <-ended:
		return err
	}
}

// fetchAll fetches what a start would fetch.
func fetchAll(ctx context.Context) error {
	if _, err := fetch.GeoCountry(ctx, os.Stderr); err != nil {
		return err
	}
	engine, _ := fetch.Engine()
	if _, err := engine.Dir(ctx, os.Stderr); err != nil {
		return fmt.Errorf("fetch the ClickHouse engine: %w", err)
	}
	return nil
}

func (c *Config) startClickHouse(ctx context.Context) (*chlocal.Server, error) {
	log, err := os.OpenFile(c.path("log", "clickhouse.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open ClickHouse's log: %w", err)
	}
	return chlocal.Start(ctx, chlocal.Options{
		Dir: c.path("clickhouse"), Native: c.ClickHouseNative, HTTP: c.ClickHouseHTTP, Log: log, Progress: os.Stderr,
	})
}

func applySchema(ctx context.Context, dsn string) error {
	conn, err := chconn.Open(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close()
	return schema.Apply(ctx, conn, database)
}

// issuer is the public address of the decision service: behind the shop's proxy, as recommended.
func (c *Config) issuer() string {
	if c.NoShop {
		return "http://" + c.Aggregator
	}
	return "http://" + c.Shop + "/px"
}

func (c *Config) startShop(site string) (*http.Server, error) {
	log, err := os.OpenFile(c.path("log", "shop.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open the shop's log: %w", err)
	}
	handler, err := demoshop.New(demoshop.Config{
		Site: site, Collector: base(c.Collector), Aggregator: base(c.Aggregator), AggregatorAdmin: base(c.AggregatorAdmin),
		Issuer: c.issuer(), ConsentDefault: "decide", Dev: true, Log: slog.New(slog.NewJSONHandler(log, nil)),
	})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", c.Shop)
	if err != nil {
		return nil, fmt.Errorf("--shop: %w", err)
	}
	server := &http.Server{Handler: toShopHost(c.Shop, handler), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	go server.Serve(l)
	return server, nil
}

// toShopHost sends people who typed "localhost" to the address that the sites file lists as origin:
// under another name the browser would keep other cookies.
func toShopHost(addr string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Host, "localhost:") {
			http.Redirect(w, r, "http://"+addr+r.URL.RequestURI(), http.StatusTemporaryRedirect)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func base(addr string) *url.URL { return &url.URL{Scheme: "http", Host: addr} }

// stack stops what was started: last in, first out.
type stack []func() error

func (s *stack) push(stop func() error) { *s = append(*s, stop) }

func (s *stack) stop() error {
	var faults []error
	for i := len(*s) - 1; i >= 0; i-- {
		faults = append(faults, (*s)[i]())
	}
	return errors.Join(faults...)
}
