package schema

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/shopspring/decimal"

	"beckon/internal/chconn"
	"beckon/internal/chlocal"
)

// shared is the server of all tests but those that kill theirs; each test has a database of its own.
var shared *chlocal.Server

func TestMain(m *testing.M) {
	chlocal.Main()
	os.Exit(runWithServer(m))
}

func runWithServer(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute) // the engine's first download
	defer cancel()
	dir, err := os.MkdirTemp("", "beckon-schema-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	config, err := writeServerConfig(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "configuration of ClickHouse:", err)
		return 1
	}
	s, err := chlocal.Start(ctx, chlocal.Options{Progress: os.Stderr, ConfigFile: config})
	if err != nil {
		fmt.Fprintln(os.Stderr, "the tests need ClickHouse:", err)
		return 1
	}
	defer s.Stop()
	shared = s
	return m.Run()
}

// db is one database with the schema applied.
type db struct {
	driver.Conn
	name string
}

var databases atomic.Int32

func newDB(t *testing.T) db {
	t.Helper()
	d := emptyDB(t, shared)
	if err := Apply(t.Context(), d, d.name); err != nil {
		t.Fatal(err)
	}
	return d
}

// emptyDB is a connection, and the name of a database that does not exist yet.
func emptyDB(t *testing.T, s *chlocal.Server) db {
	t.Helper()
	d := db{connect(t, s), fmt.Sprintf("beckon_%d", databases.Add(1))}
	t.Cleanup(func() { d.Exec(context.Background(), "DROP DATABASE IF EXISTS "+d.name+" SYNC") })
	return d
}

func connect(t *testing.T, s *chlocal.Server) driver.Conn {
	t.Helper()
	c, err := chconn.Open(t.Context(), s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (d db) exec(t *testing.T, query string) {
	t.Helper()
	if err := d.Exec(t.Context(), d.in(query)); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// text runs a query of one column and returns its rows, joined by newlines.
func (d db) text(t *testing.T, query string) string {
	t.Helper()
	rows, err := d.Query(t.Context(), d.in(query))
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		lines = append(lines, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return strings.Join(lines, "\n")
}

func (d db) want(t *testing.T, query, want string) {
	t.Helper()
	if got := d.text(t, query); got != want {
		t.Fatalf("%s\n got %q\nwant %q", query, got, want)
	}
}

// in puts the database's name where a query says DB.
func (d db) in(query string) string { return strings.ReplaceAll(query, "DB.", d.name+".") }

// row is one row of events; its tags are the columns that the loader fills.
type row struct {
	Site           string            `ch:"site"`
	Environment    string            `ch:"environment"`
	EventID        string            `ch:"event_id"`
	Kind           string            `ch:"kind"`
	Source         string            `ch:"source"`
	Lane           string            `ch:"lane"`
	Cause          string            `ch:"cause"`
	ReceivedAt     time.Time         `ch:"received_at"`
	OccurredAt     time.Time         `ch:"occurred_at"`
	Visitor        string            `ch:"visitor"`
	Session        string            `ch:"session"`
	VisitorSince   time.Time         `ch:"visitor_since"`
	Network        string            `ch:"network"`
	Country        string            `ch:"country"`
	Region         string            `ch:"region"`
	Device         string            `ch:"device"`
	Browser        string            `ch:"browser"`
	OS             string            `ch:"os"`
	Bot            uint8             `ch:"bot"`
	BotReason      string            `ch:"bot_reason"`
	Path           string            `ch:"path"`
	Referrer       string            `ch:"referrer"`
	UTMSource      string            `ch:"utm_source"`
	UTMMedium      string            `ch:"utm_medium"`
	UTMCampaign    string            `ch:"utm_campaign"`
	Product        string            `ch:"product"`
	Variant        string            `ch:"variant"`
	Category       string            `ch:"category"`
	Quantity       uint32            `ch:"quantity"`
	Currency       string            `ch:"currency"`
	Rate           decimal.Decimal   `ch:"rate"`
	Price          *decimal.Decimal  `ch:"price"`
	CartValue      *decimal.Decimal  `ch:"cart_value"`
	Value          *decimal.Decimal  `ch:"value"`
	Discount       *decimal.Decimal  `ch:"discount"`
	Tax            *decimal.Decimal  `ch:"tax"`
	Shipping       *decimal.Decimal  `ch:"shipping"`
	ItemProduct    []string          `ch:"items.product"`
	ItemVariant    []string          `ch:"items.variant"`
	ItemQuantity   []uint32          `ch:"items.quantity"`
	ItemPrice      []decimal.Decimal `ch:"items.price"`
	OrderKey       string            `ch:"order_key"`
	CouponKey      string            `ch:"coupon_key"`
	CustomerKey    string            `ch:"customer_key"`
	Offer          string            `ch:"offer"`
	Decision       string            `ch:"decision"`
	QueryLength    uint16            `ch:"query_length"`
	Choice         string            `ch:"choice"`
	ConsentSource  string            `ch:"consent_source"`
	ConsentPolicy  string            `ch:"consent_policy"`
	ConsentAt      time.Time         `ch:"consent_at"`
	Spool          string            `ch:"spool"`
	Segment        uint64            `ch:"segment"`
	Sequence       uint64            `ch:"sequence"`
	Expires        time.Time         `ch:"expires"`
	ProfileExpires time.Time         `ch:"profile_expires"`
}

var (
	zeroID = strings.Repeat("\x00", 16)
	epoch  = time.Unix(0, 0).UTC()
	base   = time.Now().UTC().Truncate(24 * time.Hour).Add(-36 * time.Hour) // noon, the day before yesterday
	ids    atomic.Uint64
)

// id is a 16-byte id made of a readable name.
func id(name string) string { return (name + zeroID)[:16] }

// view is a page_view of visitor v in lane decide, ten minutes after base, to be changed by the test.
func view(v string, change ...func(*row)) row {
	r := row{
		Site: "demo", Environment: "production", EventID: id(fmt.Sprintf("e%d", ids.Add(1))), Kind: "page_view",
		Source: "beacon", Lane: "decide", Cause: "choice",
		ReceivedAt: base.Add(10 * time.Minute), OccurredAt: base.Add(10 * time.Minute),
		Visitor: id(v), Session: id("s-" + v), VisitorSince: base, ConsentAt: epoch,
		OrderKey: zeroID, CouponKey: zeroID, CustomerKey: zeroID, Spool: id("spool"), Segment: 1,
		Expires: base.AddDate(0, 0, 395), ProfileExpires: base.AddDate(0, 0, 90),
	}
	for _, f := range change {
		f(&r)
	}
	return r
}

func amount(s string) *decimal.Decimal {
	d := decimal.RequireFromString(s)
	return &d
}

func columns() string { return columnsOf[row]() }

func columnsOf[T any]() string {
	var names []string
	for f := range reflect.TypeFor[T]().Fields() {
		names = append(names, "`"+f.Tag.Get("ch")+"`")
	}
	return strings.Join(names, ", ")
}

// send inserts rows as the loader does: one batch, one token.
func (d db) send(ctx context.Context, token string, rows []row) error {
	b, err := d.PrepareBatch(chconn.WithToken(ctx, token), "INSERT INTO "+d.name+".events ("+columns()+")")
	if err != nil {
		return err
	}
	defer b.Close()
	for i := range rows {
		if err := b.AppendStruct(&rows[i]); err != nil {
			return err
		}
	}
	return b.Send()
}

func (d db) insert(t *testing.T, token string, rows ...row) {
	t.Helper()
	if err := d.send(t.Context(), token, rows); err != nil {
		t.Fatalf("insert %d rows under token %s: %v", len(rows), token, err)
	}
}

func hexOf(name string) string { return hex.EncodeToString([]byte(id(name))) }
