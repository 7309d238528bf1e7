package service

import (
	"fmt"

	"beckon/internal/keyring"
	"beckon/internal/site"
)

// HaveKeys returns a check that refuses a sites file which names a site without keys, at the start and
// at each reload. Without a ring, because that was refused already, it has nothing to say.
func HaveKeys(keys *keyring.Ring) site.Check {
	return func(f *site.File) (faults site.Faults) {
		if keys == nil {
			return nil
		}
		for _, s := range f.Sites {
			if _, err := keys.Site(s.ID); err != nil {
				faults = append(faults, site.Fault{File: f.Name, Text: fmt.Sprintf("site %q: %v", s.ID, err)})
			}
		}
		return faults
	}
}
