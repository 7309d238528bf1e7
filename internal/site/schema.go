package site

import _ "embed"

// Schema is the JSON Schema (2020-12) of the sites file, for editors. Parse accepts nothing that it
// refuses; the converse does not hold.
//
//go:embed sites.schema.json
var Schema []byte
