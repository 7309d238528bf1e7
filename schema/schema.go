// Package schema is about the tables and views that Beckon keeps in ClickHouse: numbered files of one
// idempotent statement each, and the code that applies them.
//
// It is the place where the two services meet: the collector's loader writes `events`, the
// aggregator reads what views made of them. A file is never edited once released; a change is a new
// file. current.sql is what a server answers when asked for its schema after all files, so a
// reader need not replay them in the head.
package schema

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

//go:embed [0-9]*.sql
var files embed.FS

// databaseName is what needs no quoting in the files.
var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// Apply brings database up to the newest file: it creates the database when it is missing, then runs
// the files that are not yet noted in its table schema_files, in order. It may be interrupted and
// run again, by several processes at once too: every file is idempotent. It refuses a database to
// which another version of a file was applied, or a file that this binary does not know.
func Apply(ctx context.Context, c driver.Conn, database string) error {
	if !databaseName.MatchString(database) {
		return fmt.Errorf("apply schema: %q is no database name: want letters, digits and _, at most 63", database)
	}
	all, err := load()
	if err != nil {
		return err
	}
	// The files that make the place in which applied files are noted are run every time.
	for _, f := range all[:2] {
		if err := c.Exec(ctx, f.statement(database)); err != nil {
			return fmt.Errorf("apply %s: %w", f.name, err)
		}
	}
	applied, err := readApplied(ctx, c, database)
	if err != nil {
		return err
	}
	if err := compare(all, applied); err != nil {
		return fmt.Errorf("apply schema to database %s: %w", database, err)
	}
	for _, f := range all {
		if applied[f.name] != "" {
			continue
		}
		if err := c.Exec(ctx, f.statement(database)); err != nil {
			return fmt.Errorf("apply %s: %w", f.name, err)
		}
		note := "INSERT INTO " + database + ".schema_files (name, sha256) VALUES (?, ?)"
		if err := c.Exec(ctx, note, f.name, f.sum); err != nil {
			return fmt.Errorf("note that %s was applied: %w", f.name, err)
		}
	}
	return nil
}

// file is one numbered file.
type file struct {
	name string
	text string
	sum  string // hex SHA-256 of text
}

// statement returns the SQL to run. {cluster} stands where ON CLUSTER goes; it is off on one server.
func (f file) statement(database string) string {
	return strings.NewReplacer("{database}", database, "{cluster}", "").Replace(f.text)
}

// load returns the embedded files in the order of their numbers.
func load() ([]file, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list schema files: %w", err)
	}
	slices.Sort(names)
	all := make([]file, len(names))
	for i, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read schema file: %w", err)
		}
		sum := sha256.Sum256(text)
		all[i] = file{name: name, text: string(text), sum: hex.EncodeToString(sum[:])}
	}
	return all, nil
}

// readApplied returns name -> checksum of the files that were applied to database.
func readApplied(ctx context.Context, c driver.Conn, database string) (map[string]string, error) {
	rows, err := c.Query(ctx, "SELECT name, sha256 FROM "+database+".schema_files FINAL")
	if err != nil {
		return nil, fmt.Errorf("read applied schema files: %w", err)
	}
	defer rows.Close()
	applied := map[string]string{}
	for rows.Next() {
		var name, sum string
		if err := rows.Scan(&name, &sum); err != nil {
			return nil, fmt.Errorf("read applied schema files: %w", err)
		}
		applied[name] = sum
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read applied schema files: %w", err)
	}
	return applied, nil
}

// compare refuses what would end in tables that no file describes.
func compare(all []file, applied map[string]string) error {
	var faults []error
	known := map[string]bool{}
	for _, f := range all {
		known[f.name] = true
		if sum := applied[f.name]; sum != "" && sum != f.sum {
			faults = append(faults, fmt.Errorf("%s was changed after it was applied: released files are never edited, add a new one (or, on a developer's machine, drop the database)", f.name))
		}
	}
	for name := range applied {
		if !known[name] {
			faults = append(faults, fmt.Errorf("%s was applied, but this program does not know it: it is older than the database, use a newer one", name))
		}
	}
	return errors.Join(faults...)
}

// Dump returns the schema of database as the server prints it, one statement for each table and view
// in alphabetical order, with database named beckon whatever it is called.
func Dump(ctx context.Context, c driver.Conn, database string) (string, error) {
	if !databaseName.MatchString(database) {
		return "", fmt.Errorf("dump schema: %q is no database name", database)
	}
	var tables []struct {
		Name   string `ch:"name"`
		Engine string `ch:"engine"`
	}
	const list = "SELECT name, engine FROM system.tables WHERE database = ? AND name NOT LIKE '.%' ORDER BY name"
	if err := c.Select(ctx, &tables, list, database); err != nil {
		return "", fmt.Errorf("list tables of %s: %w", database, err)
	}
	var b strings.Builder
	b.WriteString("-- Printed by the server after all numbered files. Do not edit: `make schema` writes it.\n")
	for _, t := range tables {
		var create string
		if err := c.QueryRow(ctx, fmt.Sprintf("SHOW CREATE TABLE %s.`%s`", database, t.Name)).Scan(&create); err != nil {
			return "", fmt.Errorf("show %s.%s: %w", database, t.Name, err)
		}
		create = regexp.MustCompile(`\b`+database+`\.`).ReplaceAllLiteralString(create, "beckon.")
		fmt.Fprintf(&b, "\n%s;\n", create)
	}
	return b.String(), nil
}
