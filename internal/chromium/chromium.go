// Package chromium is about a real browser without a window for tests and benchmarks: where it is, and how it is started so
// that pages see what a person's browser shows them.
package chromium

import (
	"context"
	"errors"
	"fmt"
	"os/exec"

	"github.com/chromedp/chromedp"
)

// UserAgent is that of a person's browser. Chromium without a window calls itself HeadlessChrome,
// which the collector rightly takes for a program.
const UserAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"

// Find returns the path of the browser.
func Find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no Chromium. Run: sudo apt-get install -y chromium")
}

// Start returns the context of a running browser with a profile in dir, and what ends it.
func Start(dir string, more ...chromedp.ExecAllocatorOption) (browser context.Context, stop func() error, err error) {
	path, err := Find()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append([]chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // containers rarely allow Chromium's own
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.DisableGPU,
		chromedp.Flag("headless", "new"),
		chromedp.Flag("disable-dev-shm-usage", true), // 64 MB in many containers
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-blink-features", "AutomationControlled"),
		chromedp.UserAgent(UserAgent),
		chromedp.UserDataDir(dir),
		chromedp.WindowSize(1440, 900),
	}, more...)...)
	browser, _ = chromedp.NewContext(ctx)
	if err := chromedp.Do(browser); err != nil {
		cancel()
		return nil, nil, fmt.Errorf("start %s: %w", path, err)
	}
	return browser, func() error {
		defer cancel()
		return chromedp.Cancel(browser)
	}, nil
}
