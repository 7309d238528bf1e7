// Command migrate applies the schema to a ClickHouse server, or prints the schema that it has:
//
//	go run ./schema/migrate --dsn clickhouse://user:password@host:9000 --database beckon
//
// It is a command of its own because the account that changes tables should not be the one that
// writes rows. `make run` does the same by itself on its local server.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"beckon/internal/chconn"
	"beckon/schema"
)

type options struct {
	DSN      string `name:"dsn" env:"BECKON_CLICKHOUSE_DSN" required:"" help:"Server, as clickhouse://user:password@host:9000."`
	Database string `env:"BECKON_CLICKHOUSE_DATABASE" default:"beckon" help:"Database to create or bring up to date."`
	Dump     bool   `help:"Apply nothing, print the schema as the server has it (this is schema/current.sql)."`
}

func main() {
	var o options
	kong.Parse(&o, kong.Name("migrate"), kong.Description("Create or update Beckon's tables and views in ClickHouse."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "migrate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out io.Writer) error {
	conn, err := chconn.Open(ctx, o.DSN)
	if err != nil {
		return err
	}
	defer conn.Close()
	if o.Dump {
		text, err := schema.Dump(ctx, conn, o.Database)
		if err != nil {
			return err
		}
		_, err = io.WriteString(out, text)
		return err
	}
	if err := schema.Apply(ctx, conn, o.Database); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "database %s is up to date\n", o.Database)
	return err
}
