// Package chconn is about the one way in which both services talk to ClickHouse: the native protocol,
// with every setting that exactly-once inserts depend on said explicitly, because the defaults
// differ between servers and have changed between versions.
//
// It promises that a server which cannot deduplicate an insert through its materialized views is
// refused, by the version found, before the first row; and that no error it returns holds the
// password of the DSN. It does not retry: the loader knows which batch may be sent again, a
// connection does not.
package chconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

const (
	dialTimeout = 5 * time.Second // with a spool behind it, a loader would rather try again than wait

	// readTimeout bounds one wait for bytes where the context has no deadline, not a whole query: a
	// working server reports progress far more often. An insert that hits it is sent again.
	readTimeout = time.Minute

	standBack = 50 * time.Millisecond // see WithPriority

	maxOpenConns    = 16           // the aggregator's reads, at most: five of visitors at once, three queries each, and the change feed
	maxIdleConns    = maxOpenConns // a visitor who is waited for must not wait for a handshake
	connMaxLifetime = time.Hour

	// An insert is encoded and compressed column by column, and both buffers stay with the connection. The driver's own
	// bound, 10 MiB, is more than a whole segment.
	maxCompressionBuffer = 1 << 20
)

// exactlyOnce is sent with every query, and a DSN cannot change it: each of these, left to a
// server's default, loses or doubles rows on some version.
var exactlyOnce = clickhouse.Settings{
	"async_insert":       0, // 1 by default since 26.3
	"deduplicate_insert": "enable",
	"insert_deduplicate": 1,
	"deduplicate_blocks_in_dependent_materialized_views": 1,
	"distributed_foreground_insert":                      1, // in a cluster: the reply comes after the shards'
}

// Open connects to the server that dsn names ("clickhouse://user:password@host:9000/database?secure=true")
// and returns once it has answered with a version that can work: 26.2 or newer. Versions that our
// tests do not run on are logged as a warning. ctx bounds the wait for that first answer. The
// caller closes the connection, which is safe for concurrent use.
func Open(ctx context.Context, dsn string) (driver.Conn, error) {
	opt, err := options(dsn)
	if err != nil {
		return nil, err
	}
	fail := func(err error) error {
		return fmt.Errorf("connect to clickhouse at %s: %w", strings.Join(opt.Addr, ","), redact(err, opt.Auth.Password))
	}
	conn, err := clickhouse.Open(opt)
	if err != nil {
		return nil, fail(err)
	}
	// The driver waits for a silent server as long as its dial timeout, whatever ctx says.
	greeted := make(chan error, 1)
	go func() { greeted <- greet(ctx, conn) }()
	select {
	case err = <-greeted:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, fail(err)
	}
	return conn, nil
}

// greet reads the version from the handshake, before any query: older servers refuse our settings
// with an error that names a setting and not the cause.
func greet(ctx context.Context, conn driver.Conn) error {
	if err := conn.Ping(ctx); err != nil {
		return err
	}
	hello, err := conn.ServerVersion()
	if err != nil {
		return err
	}
	warning, err := judge(hello.Version.Major, hello.Version.Minor)
	if warning != "" {
		slog.Warn(warning, "version", hello.Version.String(), "server", hello.DisplayName)
	}
	return err
}

// judge says what to think of a server's version: an error when it cannot work, a warning when
// nobody has tried.
func judge(major, minor uint64) (warning string, err error) {
	switch {
	case major < 26 || major == 26 && minor < 2:
		return "", fmt.Errorf("the server is version %d.%d, but 26.2 or newer is needed: older ones do not deduplicate inserts through materialized views", major, minor)
	case major != 26 || minor != 7:
		return "this ClickHouse version is untested, 26.7 is tested", nil
	}
	return "", nil
}

// options reads the DSN and puts our own values where it says nothing, and over what it must not say.
func options(dsn string) (*clickhouse.Options, error) {
	const form = "want clickhouse://user:password@host:9000/database"
	opt, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		if strings.Contains(dsn, "@") || strings.Contains(dsn, "password") {
			return nil, errors.New("read the ClickHouse DSN (its text is not shown, it holds a password): " + form)
		}
		return nil, fmt.Errorf("read the ClickHouse DSN: %w; %s", err, form)
	}
	if opt.Protocol != clickhouse.Native {
		return nil, errors.New("the ClickHouse DSN names the HTTP interface, events are loaded over the native protocol: " + form)
	}
	maps.Copy(opt.Settings, exactlyOnce)
	opt.ClientInfo.Products = append(opt.ClientInfo.Products, struct{ Name, Version string }{"beckon", "1"})
	setDefault(&opt.DialTimeout, dialTimeout)
	setDefault(&opt.ReadTimeout, readTimeout)
	setDefault(&opt.MaxIdleConns, maxIdleConns)
	setDefault(&opt.MaxOpenConns, maxOpenConns)
	setDefault(&opt.ConnMaxLifetime, connMaxLifetime)
	setDefault(&opt.MaxCompressionBuffer, maxCompressionBuffer)
	if opt.Compression == nil {
		opt.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
	}
	return opt, nil
}

func setDefault[T comparable](field *T, value T) {
	var unset T
	if *field == unset {
		*field = value
	}
}

// redact returns err, or, when its text holds the password, only its redacted text.
func redact(err error, password string) error {
	if password == "" || !strings.Contains(err.Error(), password) {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), password, "[redacted]"))
}

// WithToken returns a context whose inserts carry token: ClickHouse takes the first of them and
// ignores the others, in the table and in every view target. The same token must always mean the
// same rows, in the same order. It replaces settings that ctx carried before.
//
// The rows are not merged before they are written: our views group by the key of their targets already, and
// ClickHouse would do that again for every column of every group (docs/adr/0026).
func WithToken(ctx context.Context, token string) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": token, "optimize_on_insert": 0}))
}

// WithPriority returns a context whose queries stand back while ClickHouse works on one of a lower number, 1 being the
// lowest. Those without one, such as inserts, wait for nobody. It replaces settings that ctx carried before.
//
// By default a query stands back for up to a second at a time: while others come one after the other, it could spend its
// time limit on waiting. It shall come after them, not never.
func WithPriority(ctx context.Context, number int) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"priority": number, "low_priority_query_wait_time_ms": standBack.Milliseconds()}))
}

// WithQueryID returns a context whose queries have this id. ClickHouse refuses one (code 216) while another
// with the same id is running, also one whose client has gone.
func WithQueryID(ctx context.Context, id string) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithQueryID(id))
}
