package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"beckon/bench/contest"
)

// server is one of those that take turns.
type server struct {
	*contest.Server
	cookie string // of a visitor who was here before; "" of servers that give none
}

func startBare(ctx context.Context, c *runCmd) (*server, error) {
	s, err := contest.StartOwn(ctx, "bare fasthttp", c.Server, "fasthttp")
	return &server{Server: s}, err
}

// startCollector starts one with an empty spool and a visitor who has a cookie.
func startCollector(ctx context.Context, name string, c *runCmd, sync string, fill int) (*server, error) {
	dir, err := os.MkdirTemp(c.Dir, "collector-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for %s: %w", name, err)
	}
	own, err := contest.StartOwn(ctx, name, c.Server, "serve", "--dir", dir, "--geo", c.Geo, "--sync", sync, "--fill", strconv.Itoa(fill))
	if err != nil {
		return nil, err
	}
	own.Dir = dir
	cookie, err := greet(ctx, own.Addr)
	return &server{own, cookie}, err
}

// startNginx starts Debian's nginx with one worker and the configuration that matters: an access log,
// written for each request or gathered in a buffer.
func startNginx(ctx context.Context, name string, c *runCmd, log string) (*server, error) {
	dir, err := os.MkdirTemp(c.Dir, "nginx-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for %s: %w", name, err)
	}
	port, err := contest.FreePort()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 4096; }
http {
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	access_log %[1]s/access.log combined%[2]s;
	keepalive_requests 1000;
	server { listen 127.0.0.1:%[3]d; location = /p.gif { empty_gif; } }
}
`, dir, log, port)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("write %s: %w", file, err)
	}
	s := &server{Server: &contest.Server{
		Name: name, Addr: fmt.Sprintf("127.0.0.1:%d", port), Dir: dir, Cmd: contest.Pinned(ctx, c.Server, "nginx", "-p", dir, "-c", file, "-e", dir+"/error.log"),
	}}
	if err := s.Cmd.Start(); err != nil {
		return nil, fmt.Errorf("start nginx: %w", err)
	}
	if err := contest.Listens(s.Addr, 5*time.Second); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}
