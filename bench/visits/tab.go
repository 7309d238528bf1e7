package visits

import (
	"context"
	"errors"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// tab is one in a window of its own. A debugger is attached only where the plan needs it.
type tab struct {
	id      target.ID
	browser context.Context

	attached context.Context // nil = it is not
	detach   context.CancelFunc
}

func (t *tab) attach() error {
	t.attached, t.detach = chromedp.NewContext(t.browser, chromedp.WithTargetID(t.id), chromedp.WithDetachOnCancel())
	return again(func() error {
		_, err := chromedp.Call(t.attached, network.Enable, network.EnableParams{})
		return err
	})
}

func (t *tab) release() {
	if t.detach != nil {
		t.detach()
	}
}

// offline takes the network away, or gives it back.
func (t *tab) offline(is bool) error {
	return again(func() error {
		_, err := chromedp.Call(t.attached, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
			MatchedNetworkConditions: []*network.Conditions{{Offline: is, DownloadThroughput: -1, UploadThroughput: -1}},
		})
		return err
	})
}

func (t *tab) navigate(url string) error {
	return again(func() error {
		_, err := chromedp.Call(t.attached, page.Navigate, page.NavigateParams{URL: url})
		return err
	})
}

// again tells a tab again what it has not heard because it was between two pages.
func again(tell func() error) (err error) {
	for range 20 {
		if err = tell(); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// close asks the page whether it minds, as its own button does, or does not.
func (t *tab) close(polite bool) error {
	if polite {
		if _, err := chromedp.Call(t.attached, page.Close, cdp.Empty{}); err == nil {
			return nil
		} // a tab between two pages takes only the other way
	}
	_, err := chromedp.CallBrowser(t.browser, target.CloseTarget, target.CloseTargetParams{TargetID: t.id})
	return err
}

// gone returns when the tab is. One that was about to change pages may have swallowed the word, and would go on for ever.
func (t *tab) gone() error {
	for i := range 200 {
		if _, err := chromedp.CallBrowser(t.browser, target.GetTargetInfo, target.GetTargetInfoParams{TargetID: t.id}); err != nil {
			return nil // nobody of that name
		}
		if i%10 == 9 {
			_ = t.close(false)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.New("the tab is not closed after 20 s")
}
