package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
)

const maxSecretsBytes = 64 << 10

// Read makes Trusted of the flags that both services have: networks of --trusted-proxy, and the file of
// --trusted-proxy-secret-file ("" = none). Its error lists everything that is wrong, by flag.
func Read(networks []string, secretFile string) (t Trusted, err error) {
	var faults []error
	for _, text := range networks {
		prefix, err := parseNetwork(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("--trusted-proxy %q is no network: write an address or a CIDR, such as 10.0.0.0/8", text))
		}
		t.Networks = append(t.Networks, prefix)
	}
	if secretFile != "" {
		if t.Secrets, err = readSecrets(secretFile); err != nil {
			faults = append(faults, fmt.Errorf("--trusted-proxy-secret-file: %w", err))
		}
	}
	return t, errors.Join(faults...)
}

func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("read network: %w", err)
	}
	return prefix.Masked(), nil
}

// readSecrets reads the secrets of proxies from a file that others cannot read.
func readSecrets(name string) ([]Secret, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open secrets: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat secrets: %w", err)
	}
	if perm := info.Mode().Perm(); perm&^0o640 != 0 {
		return nil, fmt.Errorf("%s: permissions %#o let others read the secret: run `chmod 0640 %s`", name, perm, name)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecretsBytes))
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	secrets, err := ParseSecrets(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return secrets, nil
}
