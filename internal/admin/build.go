package admin

import (
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// RegisterBuildInfo adds beckon_build_info{service,version,revision,go_version} 1 to reg, so that a
// graph can be split by what was running. version is what --version prints; revision is the commit
// that the Go toolchain stamped into the binary, with "+dirty" when the checkout had changes.
func RegisterBuildInfo(reg prometheus.Registerer, service, version string) {
	revision, goVersion := "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		goVersion = info.GoVersion
		revision = revisionOf(info.Settings)
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "beckon_build_info",
		Help:        "1, labelled with what is running.",
		ConstLabels: prometheus.Labels{"service": service, "version": version, "revision": revision, "go_version": goVersion},
	})
	g.Set(1)
	reg.MustRegister(g)
}

func revisionOf(settings []debug.BuildSetting) string {
	revision, dirty := "unknown", ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	return revision + dirty
}
