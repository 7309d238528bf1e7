package daykey

import "syscall"

// onTmpfs reports whether a folder is in memory only.
func onTmpfs(dir string) bool {
	const tmpfs, ramfs = 0x01021994, 0x858458f6
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return false
	}
	return uint32(s.Type) == tmpfs || uint32(s.Type) == ramfs
}
