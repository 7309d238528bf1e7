//go:build unix

package chlocal

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"beckon/internal/fetch"
)

// source is where the server's code comes from: exactly one of Binary and Library is set.
type source struct {
	Binary  string // a clickhouse executable
	Library string // the engine as a shared library
	Config  string // the caller's configuration file, or ""
}

func (s source) String() string {
	if s.Binary != "" {
		return s.Binary
	}
	return filepath.Base(s.Library)
}

// findSource takes a binary when there is one, because that is what production runs, and else the library.
func findSource(ctx context.Context, o Options) (source, error) {
	var s source
	if o.ConfigFile != "" {
		path, err := filepath.Abs(o.ConfigFile)
		if err == nil {
			_, err = os.Stat(path)
		}
		if err != nil {
			return s, fmt.Errorf("configuration of ClickHouse: %w", err)
		}
		s.Config = path
	}
	if path, err := exec.LookPath("clickhouse"); err == nil {
		s.Binary, err = filepath.Abs(path)
		return s, err
	}
	engine, file := fetch.Engine()
	dir, err := engine.Dir(ctx, o.Progress)
	if errors.Is(err, fetch.ErrUnpinned) {
		return s, fmt.Errorf("%w: put a `clickhouse` binary (26.2 or newer) on PATH, or name a running server by its DSN", err)
	}
	if err != nil {
		return s, fmt.Errorf("ClickHouse engine: %w; a `clickhouse` binary on PATH or a DSN does instead", err)
	}
	s.Library = filepath.Join(dir, file)
	return s, nil
}

// libraryArgs are the arguments of the engine's command line: a local session over Dir that opens both
// ports and then reads stop, a pipe, until that ends. The ports live as long as the session.
func libraryArgs(s spec, stop string) []string {
	host, native, http := s.listens()
	args := []string{
		"clickhouse", "--path=" + s.Dir, "--listen_host", host, "--tcp_port", native, "--http_port", http,
		"--logger.console=1", "--log-level=error",
	}
	if s.Config != "" {
		args = append(args, "--config-file", s.Config)
	}
	return append(args, "--query", "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; "+
		"SELECT * FROM file('"+stop+"', 'LineAsString', 'l String')")
}

// binaryArgs are the arguments of a clickhouse executable. Every path is given: some have defaults that
// only root can write.
func binaryArgs(s spec, config string) []string {
	host, native, http := s.listens()
	return []string{
		"server", "--config-file=" + config, "--",
		"--path=" + s.Dir + "/", "--tmp_path=" + s.Dir + "/tmp/",
		"--user_files_path=" + s.Dir + "/user_files/", "--format_schema_path=" + s.Dir + "/format_schemas/",
		"--listen_host=" + host, "--tcp_port=" + native, "--http_port=" + http,
		"--shutdown_wait_unfinished=1", // seconds for open connections, which pools hold for hours
	}
}

func (s spec) listens() (host, native, http string) {
	host, native, _ = net.SplitHostPort(s.Native) // both come from net.TCPAddr.String
	_, http, _ = net.SplitHostPort(s.HTTP)
	return host, native, http
}

// binaryConfig returns the configuration file for a clickhouse executable: the caller's, or the least
// that a server starts with, written into the data folder.
func binaryConfig(s spec) (string, error) {
	if s.Config != "" {
		return s.Config, nil
	}
	type user struct {
		Password string `xml:"password"`
		IP       string `xml:"networks>ip"`
		Profile  string `xml:"profile"`
		Quota    string `xml:"quota"`
	}
	host, _, _ := s.listens()
	text, err := xml.MarshalIndent(struct {
		XMLName xml.Name `xml:"clickhouse"`
		Level   string   `xml:"logger>level"`
		Console bool     `xml:"logger>console"`
		User    user     `xml:"users>default"`
		Profile string   `xml:"profiles>default"`
		Quota   string   `xml:"quotas>default"`
	}{
		Level: "error", Console: true,
		User: user{IP: host, Profile: "default", Quota: "default"},
	}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("BUG: %w", err)
	}
	path := filepath.Join(s.Dir, "chlocal.xml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("configuration of ClickHouse: %w", err)
	}
	return path, nil
}
