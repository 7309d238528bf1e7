//go:build darwin || linux

package chlocal

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// runEngine loads the library and runs its command line in this thread, until that ends. Called without
// cgo, and once: the library keeps global state that cannot be undone.
func runEngine(library string, args []string) error {
	runtime.LockOSThread()
	handle, err := purego.Dlopen(library, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return fmt.Errorf("load the engine: %w", err)
	}
	// A wrong library has no such symbols; RegisterLibFunc would panic.
	for _, name := range []string{"chdb_query_cmdline", "chdb_result_error"} {
		if _, err := purego.Dlsym(handle, name); err != nil {
			return fmt.Errorf("load the engine: %w", err)
		}
	}
	var commandLine func(argc int32, argv unsafe.Pointer) (result uintptr)
	var resultError func(result uintptr) string // copied
	purego.RegisterLibFunc(&commandLine, handle, "chdb_query_cmdline")
	purego.RegisterLibFunc(&resultError, handle, "chdb_result_error")

	argv := make([]*byte, len(args)+1) // the last one stays nil, as in C
	for i, a := range args {
		argv[i] = &append([]byte(a), 0)[0]
	}
	result := commandLine(int32(len(args)), unsafe.Pointer(&argv[0]))
	runtime.KeepAlive(argv)
	if result == 0 {
		return errors.New("the engine returned nothing")
	}
	if text := resultError(result); text != "" {
		return errors.New(text)
	}
	return nil
}
