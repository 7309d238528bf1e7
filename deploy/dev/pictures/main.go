// Command pictures takes the screenshots of the demo shop that docs/pictures shows: one for each state of an offer. It starts
// what `make run` starts, with ports and a folder of its own, goes through the shop in a real browser, and takes it all away
// again. `make pictures` runs it.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"beckon/internal/chromium"
)

// states are the pictures, in order: what a new visitor does until the state is there, and what must be seen then.
var states = []struct {
	name    string
	holdout string
	steps   []string // an address to go to, or a selector to click
	sees    string   // a condition
}{
	{"no-offer", "0%", []string{"/", "#consent [value=decide]"}, seen("#seen-code", "DEFAULT")},
	{"offer", "0%", comesBack(), `document.querySelector('#offer')?.checkVisibility() && ` + seen("#seen-code", "TARGETING_MATCH")},
	{"dismissed", "0%", append(comesBack(), "#offer [data-beckon-tell=offer_dismissed]"), `!document.querySelector('#offer')?.checkVisibility() && ` + seen("#seen-code", "TARGETING_MATCH")},
	{"holdout", "100%", comesBack(), seen("#seen-code", "HOLDOUT")},
	{"denied", "0%", []string{"/", "#consent [value=count]"}, seen("#seen-code", "NO_CONSENT")},
}

// comesBack is a visitor who has looked around and is here again on the next day.
func comesBack() []string {
	return []string{"/", "#consent [value=decide]", "/product/harbour-mug", "#tomorrow"}
}

func seen(selector, text string) string {
	return fmt.Sprintf(`document.querySelector(%q)?.innerText.includes(%q)`, selector, text)
}

func main() {
	if err := run("docs/pictures", "bin/beckon-dev"); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

func run(out, binary string) (err error) {
	state, err := os.MkdirTemp("", "beckon-pictures-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(state)) }()
	shop, stop, err := start(binary, state)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	browser, end, err := chromium.Start(filepath.Join(state, "profile"), chromedp.WindowSize(1200, 800), chromedp.Flag("hide-scrollbars", true))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, s := range states {
		if err := hold(filepath.Join(state, "sites.yaml"), s.holdout); err != nil {
			return err
		}
		png, err := take(browser, shop, s.steps, s.sees)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if err := os.WriteFile(filepath.Join(out, s.name+".png"), png, 0o644); err != nil {
			return err
		}
		fmt.Println(filepath.Join(out, s.name+".png"), len(png), "bytes")
	}
	return nil
}

// start returns the address of the shop, and what ends it.
func start(binary, state string) (shop string, stop func() error, err error) {
	args := []string{"--state", state}
	var held []net.Listener // all of them until each is another one
	for _, flag := range []string{"--collector", "--aggregator", "--shop", "--collector-admin", "--aggregator-admin", "--clickhouse-http", "--clickhouse-native"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", nil, err
		}
		held = append(held, l)
		args = append(args, flag, l.Addr().String())
		if flag == "--shop" {
			shop = "http://" + l.Addr().String()
		}
	}
	for _, l := range held {
		_ = l.Close()
	}
	cmd := exec.Command(binary, args...)
	cmd.Stderr = os.Stderr
	said, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("%w (build it with: make build)", err)
	}
	stop = func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		return cmd.Wait()
	}
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if lines.Text() == "ready" {
			go func() {
				for lines.Scan() { // else it would wait for a reader
				}
			}()
			return shop, stop, nil
		}
	}
	return "", nil, errors.Join(errors.New("beckon-dev ended before it was ready"), stop())
}

// hold writes how many visitors go without; the services read it again.
func hold(sites, holdout string) error {
	text, err := os.ReadFile(sites)
	if err != nil {
		return err
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(strings.TrimSpace(line), "holdout:") {
			line = "    holdout: " + holdout + "\n"
		}
		lines = append(lines, line)
	}
	if err := os.WriteFile(sites+".new", []byte(strings.Join(lines, "")), 0o640); err != nil {
		return err
	}
	return os.Rename(sites+".new", sites)
}

// take brings a new visitor into the state, and the picture of it.
func take(browser context.Context, shop string, steps []string, sees string) ([]byte, error) {
	tab, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	defer cancel()
	if err := chromedp.Do(tab); err != nil {
		return nil, err
	}
	tab, stop := context.WithTimeout(tab, time.Minute)
	defer stop()
	for _, step := range steps {
		action := chromedp.Click(chromedp.CSS(step))
		if strings.HasPrefix(step, "/") {
			action = chromedp.Navigate(shop + step)
		}
		if err := chromedp.Do(tab, action); err != nil {
			return nil, fmt.Errorf("%s: %w", step, err)
		}
		time.Sleep(time.Second) // what the page does next, its animation included, is to be over in the picture
	}
	for {
		if is, err := chromedp.Run(tab, chromedp.Evaluate[bool]("!!("+sees+")")); is && err == nil {
			time.Sleep(time.Second)
			shot, err := chromedp.Call(tab, page.CaptureScreenshot, page.CaptureScreenshotParams{Clip: &page.Viewport{Width: 1200, Height: 712, Scale: 0.6}})
			return shot.Data, err
		}
		select {
		case <-tab.Done():
			return nil, errors.New("the state did not come within a minute")
		case <-time.After(200 * time.Millisecond):
		}
	}
}
