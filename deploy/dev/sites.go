package main

import (
	"fmt"
	"os"
	"text/template"

	"beckon/internal/site"
)

var demoSites = template.Must(template.New("sites").Parse(`# Written by make run from its own flags at every start. To change it, copy it and use --sites FILE.
sites:
  - id: demo
    name: Demo shop
    origins: ["http://{{.Shop}}"]
    timezone: Europe/Berlin
    currency: EUR
    rates: {USD: 0.92}
    consent: {default: decide, allow: decide} # the demo only: an absent default means count
    retention: {events: 395d, profiles: 90d}
    holdout: 0% # so that the demo always shows the offer; a real shop keeps some visitors without
    offers:
      - id: welcome-back
        title: 10% off
        when: visitor.sessions_7d >= 2 && visitor.purchases_90d == 0
        discount: {percent: 10}
        valid_for: 30m
        cooldown: 7d
        priority: 10
        disclosure: You see this price because you came back to this shop.
`))

// sitesFile returns the path of the sites file of this run and what is in it: one site at least.
func (c *Config) sitesFile() (path string, file *site.File, err error) {
	path = c.Sites
	if path == "" {
		path = c.path("sites.yaml")
		f, err := os.Create(path)
		if err != nil {
			return "", nil, fmt.Errorf("write sites file: %w", err)
		}
		if err := demoSites.Execute(f, c); err != nil {
			return "", nil, fmt.Errorf("write sites file: %w", err)
		}
		if err := f.Close(); err != nil {
			return "", nil, fmt.Errorf("write sites file: %w", err)
		}
	}
	sites, err := site.Open(path)
	if err != nil {
		return "", nil, fmt.Errorf("--sites: %w", err)
	}
	return path, sites.File(), nil
}

func ids(file *site.File) []string {
	var all []string
	for _, s := range file.Sites {
		all = append(all, s.ID)
	}
	return all
}
