package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryFaultOfAnImportIsReportedAtOnce(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "spool"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := importCmd{
		Sites: dir + "/none.yaml", KeyringDir: dir + "/none", ClickHouseDSN: "clickhouse://u:hunter2@host:port", Database: "a b", SpoolDir: dir,
	}
	_, _, err := cmd.gather(slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatal("it would start")
	}
	for _, part := range []string{"--sites", "--keyring-dir", "--clickhouse-dsn", "--database", "--spool-dir", "beckon-collector keyring init"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s is not named in:\n%v", part, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("says too much:\n%v", err)
	}
}

// The services' folders come from the environment too: none of them may become the import's.
func TestAnImportNeverTakesTheSpoolOfTheEnvironment(t *testing.T) {
	t.Setenv("BECKON_SPOOL_DIR", "/var/lib/beckon/spool")
	t.Setenv("BECKON_SITES", "/etc/beckon/sites.yaml")
	cmd := parseCLI(t, "import", "old.jsonl").Import
	if cmd.SpoolDir != "spool-import" || cmd.Sites != "/etc/beckon/sites.yaml" || cmd.File != "old.jsonl" {
		t.Errorf("parsed %+v", cmd)
	}
}
