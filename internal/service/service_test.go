package service

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"
)

func TestListenNamesTheFlagOfEachPortItCannotTake(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	f := func(listen, admin string, want ...string) {
		t.Helper()
		public, private, err := Listen(listen, admin)
		if err == nil {
			public.Close()
			private.Close()
			t.Fatalf("%s and %s were both taken", listen, admin)
		}
		for _, flag := range []string{"--listen", "--admin"} {
			named := strings.Contains(err.Error(), flag)
			if expected := strings.Contains(strings.Join(want, " "), flag); named != expected {
				t.Errorf("%s named: %v, want %v, in %q", flag, named, expected, err)
			}
		}
	}
	free := "127.0.0.1:0"
	f(taken.Addr().String(), free, "--listen")
	f(free, taken.Addr().String(), "--admin")
	f(taken.Addr().String(), taken.Addr().String(), "--listen", "--admin")
	f("nowhere", free, "--listen")
	f("8080", "8090", "--listen", "--admin")

	public, private, err := Listen(free, free)
	if err != nil {
		t.Fatal(err)
	}
	public.Close()
	private.Close()
}

func TestIsLoopback(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:80": true, "127.8.8.8:80": true, "[::1]:80": true, "localhost:80": true,
		"0.0.0.0:80": false, ":80": false, "[::]:80": false, "192.0.2.1:80": false, "127.0.0.1": false, "localhost.example:80": false,
	} {
		if got := IsLoopback(addr); got != want {
			t.Errorf("IsLoopback(%q) = %v", addr, got)
		}
	}
}

func TestNamesThatGoIntoSQLAndPaths(t *testing.T) {
	for name, want := range map[string]bool{"beckon": true, "_b2": true, "": false, "2b": false, "a.b": false, "a b": false, "a;DROP": false, "ä": false} {
		if got := IsDatabase(name); got != want {
			t.Errorf("IsDatabase(%q) = %v", name, got)
		}
	}
	for prefix, want := range map[string]bool{"": true, "/px": true, "/a/b": true, "/": false, "px": false, "/px/": false} {
		if got := IsPathPrefix(prefix); got != want {
			t.Errorf("IsPathPrefix(%q) = %v", prefix, got)
		}
	}
}

func TestInterruptOfALoopWaitsForItsEnd(t *testing.T) {
	ended := false
	execute, interrupt := Loop(func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(20 * time.Millisecond) // what a loop still has to do
		ended = true
		return nil
	})
	go execute()
	interrupt(nil)
	if !ended {
		t.Error("the interrupt did not wait")
	}
}

func TestStepsOfAStopShareOneDeadline(t *testing.T) {
	d := Deadline{Within: time.Hour}
	first, cancel := d.Context()
	defer cancel()
	second, cancel := d.Context()
	defer cancel()
	a, _ := first.Deadline()
	b, _ := second.Deadline()
	if !a.Equal(b) || time.Until(a) > time.Hour {
		t.Errorf("deadlines %s and %s, want one, within the hour", a, b)
	}
}
