package keyring

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fmt asks no method of what it reaches through an unexported field, so a key there would print, byte by byte; of a
// pointer it prints the address. Therefore no struct of the project has a key as the value of an unexported field, not
// within another struct either, unless it keeps fmt out itself.
func TestNoStructHasAKeyInAnUnexportedField(t *testing.T) {
	looked := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && path != "../..") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		looked++
		for _, fault := range keysInFields(file) {
			t.Errorf("%s: %s holds a key in an unexported field: hold a pointer to it, or give the struct a Format", path, fault)
		}
		return nil
	})
	if err != nil || looked < 200 {
		t.Fatalf("looked at %d files: %v", looked, err)
	}
}

// keysInFields are the structs of a file that would print a key.
func keysInFields(file *ast.File) (faults []string) {
	var quiet []string // types that have a Format
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "Format" && f.Recv != nil {
			if of, ok := f.Recv.List[0].Type.(*ast.Ident); ok {
				quiet = append(quiet, of.Name)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || slices.Contains(quiet, spec.Name.Name) {
			return true
		}
		ast.Inspect(spec.Type, func(n ast.Node) bool {
			of, ok := n.(*ast.StructType)
			if !ok {
				return true
			}
			for _, field := range of.Fields.List {
				for _, name := range field.Names {
					if isKey(field.Type) && !name.IsExported() {
						faults = append(faults, spec.Name.Name+"."+name.Name)
					}
				}
			}
			return true
		})
		return true
	})
	return faults
}

// isKey reports whether a value of the type, or what a list or map of it holds, has a key in it.
func isKey(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.ArrayType:
		return isKey(e.Elt)
	case *ast.MapType:
		return isKey(e.Key) || isKey(e.Value)
	case *ast.SelectorExpr:
		of, ok := e.X.(*ast.Ident)
		return ok && of.Name == "keyring" && slices.Contains([]string{"Key", "Epoch", "Site", "IssuerKey"}, e.Sel.Name)
	}
	return false
}

func TestKeysInFieldsAreFound(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+body, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(keysInFields(file), " "); got != want {
			t.Errorf("%s: found %q, want %q", body, got, want)
		}
	}
	f("type a struct { key keyring.Key }", "a.key")
	f("type a struct { b, Key keyring.Key }", "a.b")
	f("type a struct { keys []keyring.IssuerKey; of map[string]keyring.Site }", "a.keys a.of")
	f("type a struct { b struct { epochs [2]keyring.Epoch } }", "a.epochs")
	f("type a struct { key *keyring.Key; site *keyring.Site; Key keyring.Key }", "")
	f("type a struct { key keyring.Key }; func (a) Format(fmt.State, rune) {}", "")
}
