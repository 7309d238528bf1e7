package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/aggregator/feature"
	rigs "beckon/bench/rig"
	"beckon/internal/chconn"
)

// scale is what reads take over a history of one size.
type scale struct {
	Events, Visitors     int
	Refresh, LookUp      latency
	RowsRead             float64 // by one refresh, in all its queries
	ResidentMiB, DiskMiB float64
	Filled               time.Duration
}

const (
	refreshed   = 1000 // visitors that one refresh reads
	refreshes   = 30
	lookUps     = 200
	fillAtOnce  = 2_000_000
	mergeWithin = 3 * time.Minute
)

// history is one piece of it: a visitor's events stand by themselves over 30 days, in three sessions, through the
// views that every event goes through. Its numbers are hashes, so that rows are as incompressible as real ids.
const history = `
INSERT INTO {database}.events (site, environment, event_id, kind, source, lane, cause, received_at, occurred_at, visitor, session, visitor_since,
	network, country, device, browser, os, path, product, currency, rate, price, cart_value, spool, segment, sequence, expires, profile_expires)
WITH
	intDiv(number, {per_visitor}) AS who, number % {per_visitor} AS nth,
	sipHash128(who) AS visitor_id, cityHash64(who) AS h,
	now64(3) - toIntervalMillisecond(h % 2592000000) AS last_time,
	greatest(last_time - toIntervalSecond(intDiv(nth, 4) * 86400 + nth * 40), now64(3) - toIntervalDay(30)) AS at
SELECT 'demo', 'production', CAST(sipHash128(number, 'event') AS FixedString(16)),
	['page_view', 'product_view', 'page_view', 'cart_add', 'search'][nth % 5 + 1], 'beacon', 'decide', 'choice', at, at,
	CAST(visitor_id AS FixedString(16)), CAST(sipHash128(who, intDiv(nth, 4), 'session') AS FixedString(16)), last_time - toIntervalDay(20),
	'203.0.113.0/24', ['DE', 'AT', 'FR', 'NL'][h % 4 + 1], ['mobile', 'desktop'][h % 2 + 1], ['Chrome', 'Safari', 'Firefox'][h % 3 + 1], ['Android', 'iOS', 'Windows'][h % 3 + 1],
	concat('/products/', toString(cityHash64(number) % 600)), if(nth % 5 IN (1, 3), concat('p', toString(cityHash64(number) % 600)), ''), 'EUR', 1,
	if(nth % 5 = 3, toDecimal64(19.9, 4), NULL), if(nth % 5 = 3, toDecimal64(40, 4), NULL),
	toFixedString('bench', 16), {segment}, number, today() + 395, today() + 90
FROM numbers({from}, {count})`

// scale fills one ClickHouse further and further.
func (c *config) scale(ctx context.Context) (all []scale, err error) {
	g, err := rigs.New(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	filled := 0
	for _, events := range c.Events {
		began := time.Now()
		for filled < events {
			n := min(fillAtOnce, events-filled)
			query := strings.NewReplacer("{database}", rigs.Database, "{per_visitor}", fmt.Sprint(c.PerVisitor), "{segment}", fmt.Sprint(filled/fillAtOnce+1),
				"{from}", fmt.Sprint(filled), "{count}", fmt.Sprint(n)).Replace(history)
			if err := g.Conn.Exec(ctx, query); err != nil {
				return nil, fmt.Errorf("fill: %w", err)
			}
			filled += n
			fmt.Fprintf(os.Stderr, "%d of %d events, %s\n", filled, events, time.Since(began).Round(time.Second))
		}
		if err := merged(ctx, g); err != nil {
			return nil, err
		}
		s := scale{Events: events, Visitors: events / c.PerVisitor, Filled: time.Since(began).Round(time.Second)}
		if err := s.measure(ctx, g); err != nil {
			return nil, err
		}
		all = append(all, s)
		fmt.Fprintf(os.Stderr, "%d events: refresh %.1f ms, look-up %.1f ms\n", events, s.Refresh.P50, s.LookUp.P50)
	}
	return all, nil
}

// merged waits until the merges that follow a fill are over, as they are in a shop's ClickHouse.
func merged(ctx context.Context, g *rigs.Rig) error {
	for deadline, quiet := time.Now().Add(mergeWithin), 0; quiet < 5 && time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		n, err := g.Number(ctx, "SELECT count() FROM system.merges WHERE database = '"+rigs.Database+"'")
		if err != nil {
			return err
		}
		if quiet++; n > 0 {
			quiet = 0
		}
	}
	return nil
}

// measure reads visitors whom no earlier read has brought into a cache of ours; the machine's own cache is warm for
// some, as it is in a shop.
func (s *scale) measure(ctx context.Context, g *rigs.Rig) error {
	reader := feature.NewReader(rigs.Database, func(ctx context.Context) (driver.Conn, error) { return chconn.Open(ctx, g.ClickHouse.DSN()) })
	defer reader.Close()
	random := rand.New(rand.NewPCG(1, uint64(s.Events)))
	read := func(n, times int) (latency, error) {
		var took []time.Duration
		for range times {
			keys, err := s.someone(ctx, g, random, n)
			if err != nil {
				return latency{}, err
			}
			began := time.Now()
			profiles, err := reader.Read(ctx, rigs.Site, keys)
			if err != nil {
				return latency{}, fmt.Errorf("read %d visitors: %w", n, err)
			}
			took = append(took, time.Since(began))
			for _, p := range profiles {
				if p.LastSeen == 0 {
					return latency{}, errors.New("a visitor of the history was not found")
				}
			}
		}
		return latencyOf(took), nil
	}
	if _, err := read(refreshed, 3); err != nil { // the first queries open connections and read marks
		return err
	}
	var err error
	before, err := g.Number(ctx, rowsRead)
	if err != nil {
		return err
	}
	if s.Refresh, err = read(refreshed, refreshes); err != nil {
		return err
	}
	after, err := g.Number(ctx, rowsRead)
	if err != nil {
		return err
	}
	s.RowsRead = (after - before) / refreshes
	if s.LookUp, err = read(1, lookUps); err != nil {
		return err
	}
	all, _ := rigs.Processes(os.Getpid())
	own, _ := rigs.Ourselves()
	disk, err := g.Number(ctx, "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = '"+rigs.Database+"'")
	if err != nil {
		return err
	}
	s.ResidentMiB, s.DiskMiB = float64(all-own)/(1<<20), disk/(1<<20)
	return nil
}

const rowsRead = "SELECT sum(value) FROM system.events WHERE event = 'SelectedRows'"

// someone returns the keys of n random visitors of the history. ClickHouse computes them: they are hashes of its own.
func (s *scale) someone(ctx context.Context, g *rigs.Rig, random *rand.Rand, n int) ([]feature.Key, error) {
	different := make(map[uint64]bool, n)
	for len(different) < n {
		different[random.Uint64N(uint64(s.Visitors))] = true
	}
	numbers := slices.Collect(maps.Keys(different))
	rows, err := g.Conn.Query(clickhouse.Context(ctx), "SELECT hex(CAST(sipHash128(arrayJoin({who:Array(UInt64)})) AS FixedString(16)))", clickhouse.Named("who", numbers))
	if err != nil {
		return nil, fmt.Errorf("find visitors: %w", err)
	}
	defer rows.Close()
	var keys []feature.Key
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("find visitors: %w", err)
		}
		k := feature.Key{Site: rigs.Site}
		if _, err := hex.Decode(k.Visitor[:], []byte(text)); err != nil {
			return nil, fmt.Errorf("find visitors: %w", err)
		}
		keys = append(keys, k)
	}
	return keys, rows.Err()
}
