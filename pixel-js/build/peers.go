package main

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// peer is another's script with brotli 11.
type peer struct {
	name string
	size int
	note string
	from string // package, version and file that the size was measured of; else it is only quoted
}

// peers are in the order of the table. `go run ./pixel-js/build --peers` measures again those that npm has.
var peers = []peer{
	{"Medama", 613, "no session, queue or commerce", ""},
	{"Umami", 1_941, "", ""},
	{"Plausible", 2_355, "", "@plausible-analytics/tracker@0.4.6/plausible.js"},
	{"OpenPanel", 2_912, "its session replay is a file of its own", "@openpanel/web@1.4.1/dist/src/tracker.global.js"},
	{"Snowplow", 15_642, "without plugins", "@snowplow/browser-tracker@4.10.1/dist/index.umd.min.js"},
	{"Matomo", 19_000, "", ""},
	{"PostHog", 102_457, "loads more files", "posthog-js@1.449.2/dist/array.js"},
}

// measurePeers fetches what each published size was measured of, and fails when the table says something else. It needs
// npm and the network, so no test does it.
func measurePeers() error {
	var wrong []string
	for _, p := range peers {
		if p.from == "" {
			continue
		}
		script, err := published(p.from)
		if err != nil {
			return fmt.Errorf("%s: %w", p.from, err)
		}
		small, err := compressed(script)
		if err != nil {
			return err
		}
		fmt.Println(p.from, len(script), "bytes, brotli", len(small))
		if len(small) != p.size {
			wrong = append(wrong, fmt.Sprintf("%s has %d bytes, the table says %d", p.name, len(small), p.size))
		}
	}
	if wrong != nil {
		return fmt.Errorf("mend pixel-js/build/peers.go: %s", strings.Join(wrong, "; "))
	}
	return nil
}

// published is a file as a package has it: "name@version/path".
func published(from string) ([]byte, error) {
	at := strings.LastIndex(from, "@")
	version, path, _ := strings.Cut(from[at:], "/")
	dir, err := os.MkdirTemp("", "beckon-peer-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	npm := exec.Command("npm", "pack", "--silent", "--pack-destination", dir, from[:at]+version)
	npm.Stderr = os.Stderr
	if err := npm.Run(); err != nil {
		return nil, fmt.Errorf("npm pack: %w", err)
	}
	packed, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(packed) != 1 {
		return nil, fmt.Errorf("npm pack has made %d packages (%v)", len(packed), err)
	}
	file, err := os.Open(packed[0])
	if err != nil {
		return nil, err
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	for files := tar.NewReader(plain); ; {
		head, err := files.Next()
		if err != nil {
			return nil, fmt.Errorf("look for %s in the package: %w", path, err)
		}
		if head.Name == "package/"+path {
			return io.ReadAll(files)
		}
	}
}
