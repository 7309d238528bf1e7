package daykey

import (
	"os"
	"path/filepath"
	"strconv"
)

// DefaultDir is the folder of a host whose operator named none: in memory where there is such a place.
// /dev/shm comes first, since XDG_RUNTIME_DIR goes with its user's last login.
func DefaultDir() string {
	name := "beckon-" + strconv.Itoa(os.Geteuid())
	for _, dir := range []string{"/dev/shm", os.Getenv("XDG_RUNTIME_DIR")} {
		if dir != "" && onTmpfs(dir) {
			return filepath.Join(dir, name)
		}
	}
	return filepath.Join(os.TempDir(), name)
}
