package admin

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Version is the release of both binaries, as --version prints it and CHANGELOG.md heads it.
const Version = "0.1.0"

// NewRegistry returns a registry with what every service shows: its build, the Go runtime, the
// process.
func NewRegistry(service string) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	RegisterBuildInfo(reg, service, Version)
	return reg
}
