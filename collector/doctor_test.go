package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEveryWrongFlagOfTheDoctorIsReportedAtOnce(t *testing.T) {
	cmd := doctorCmd{
		Site: "demo", Sites: t.TempDir() + "/none.yaml", URL: "https://u:hunter2@shop.example/", Endpoint: "/px", ClickHouseDSN: "clickhouse://u:hunter2@host:port", Database: "a b",
	}
	err := cmd.examine(t.Context(), new(bytes.Buffer))
	if code(err) != exitUsage {
		t.Fatalf("ends with %d, %v", code(err), err)
	}
	for _, part := range []string{"--sites", "--url", "--endpoint", "--clickhouse-dsn", "--database", "--timeout"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s is not named in:\n%v", part, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("says too much:\n%v", err)
	}
}

// code is what the program would end with.
func code(err error) int {
	var coded interface{ ExitCode() int }
	switch {
	case err == nil:
		return 0
	case errors.As(err, &coded):
		return coded.ExitCode()
	}
	return 1
}

func TestTheDoctorsCodeSaysWhetherThereIsAFault(t *testing.T) {
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("<!doctype html><title>Shop</title>"))
	}))
	defer shop.Close()
	sites := filepath.Join(t.TempDir(), "sites.yaml")
	if err := os.WriteFile(sites, []byte(strings.Replace(sitesText, "http://127.0.0.1:8082", shop.URL, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(url string, want int, says string) {
		t.Helper()
		cmd := doctorCmd{Site: "demo", Sites: sites, URL: url, Database: "beckon", Timeout: 5 * time.Second, JSON: true}
		var out bytes.Buffer
		err := cmd.examine(t.Context(), &out)
		if code(err) != want || err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s ends with %d, %v; want %d, %q", url, code(err), err, want, says)
		}
		if !json.Valid(out.Bytes()) {
			t.Errorf("no JSON: %s", &out)
		}
	}
	f(shop.URL, exitFault, "has faults")
	f("http://127.0.0.1:1", exitUsage, "could not be looked at")
}
