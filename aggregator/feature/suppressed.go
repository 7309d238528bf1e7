package feature

import (
	"beckon/internal/keyring"
	"beckon/internal/privacy"
	"beckon/internal/suppress"
)

// SuppressedBy is the list as a Store asks it.
func SuppressedBy(keys *keyring.Ring, list *suppress.List) Suppressed {
	return suppressions{keys, list}
}

type suppressions struct {
	keys *keyring.Ring
	list *suppress.List
}

// Name is that of the list. A site without keys has no visitors who could be on it.
func (s suppressions) Name(k Key) privacy.ID {
	keys, err := s.keys.Site(k.Site)
	if err != nil {
		return privacy.ID{}
	}
	return suppress.KeyOf(keys, privacy.StoredID(k.Visitor))
}

func (s suppressions) Has(name privacy.ID) bool {
	cause, _ := s.list.Find(name)
	return name.IsZero() || cause != privacy.CauseNone
}
