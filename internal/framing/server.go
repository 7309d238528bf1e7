package framing

import (
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// Options is what a service says about its HTTP server; the rest is the same for both.
type Options struct {
	Handler  fasthttp.RequestHandler
	OnFault  func(*fasthttp.RequestCtx, Fault)
	MaxBody  int           // bytes that are read of a body at most; beyond it the connection ends
	ReadTime time.Duration // from the first byte of a request to its last; 0 = ReadTimeout
	Log      *slog.Logger
}

// The limits that a service documents.
const (
	ReadTimeout    = 5 * time.Second
	IdleTimeout    = 30 * time.Second
	MaxHeaderBytes = 8 << 10 // shops set big cookies
)

const (
	writeTimeout          = 5 * time.Second
	maxConnections        = 16 << 10 // about 20 KiB each, idle (TestTenThousandIdleConnectionsKeepNobodyOut)
	maxRequestsPerConn    = 1000     // so that load spreads again after a deployment
	overloadPause         = 10 * time.Millisecond
	keepAlivePeriod       = 30 * time.Second
	maxIdleWorkerDuration = 10 * time.Second
)

// NewServer returns a server with every setting explicit, because fasthttp's defaults wait for ever and take
// what we do not want. It is for listeners that are Patient.
func NewServer(o Options) *fasthttp.Server {
	if o.ReadTime == 0 {
		o.ReadTime = ReadTimeout
	}
	return &fasthttp.Server{
		Handler: o.Handler,
		ErrorHandler: func(ctx *fasthttp.RequestCtx, err error) {
			o.OnFault(ctx, faultOf(ctx, err))
		},
		// Nobody who sends us so little needs to ask first, and waiting for the body holds a connection.
		ExpectHandler: func(ctx *fasthttp.RequestCtx) int {
			o.OnFault(ctx, ExpectationRefused)
			return ctx.Response.StatusCode()
		},
		ReadTimeout:                        o.ReadTime,
		WriteTimeout:                       writeTimeout,
		IdleTimeout:                        IdleTimeout,
		MaxRequestBodySize:                 o.MaxBody,
		ReadBufferSize:                     MaxHeaderBytes,
		WriteBufferSize:                    4 << 10,
		Concurrency:                        maxConnections,
		MaxConnsPerIP:                      0, // a mobile carrier or our own proxy is one address for thousands
		MaxRequestsPerConn:                 maxRequestsPerConn,
		MaxIdleWorkerDuration:              maxIdleWorkerDuration,
		SleepWhenConcurrencyLimitsExceeded: overloadPause,
		TCPKeepalive:                       true,
		TCPKeepalivePeriod:                 keepAlivePeriod,
		NoDefaultServerHeader:              true,
		NoDefaultContentType:               true,
		DisablePreParseMultipartForm:       true,
		StreamRequestBody:                  false,
		ReduceMemoryUsage:                  false, // costs a system call per request
		CloseOnShutdown:                    true,
		LogAllErrors:                       false,
		SecureErrorLogMessage:              true,
		Logger:                             connectionLog{o.Log},
	}
}

// Fault is why there is no request to answer. Each service has its own word and status for it; the connection
// ends with the reply.
type Fault uint8

// The faults.
const (
	Malformed Fault = iota
	HeaderTooLarge
	TooLarge
	TimedOut
	ExpectationRefused
)

// faultOf reads what fasthttp says. Whoever is still sending is heard out before the connection is closed.
func faultOf(ctx *fasthttp.RequestCtx, err error) Fault {
	var tooSmall *fasthttp.ErrSmallBuffer
	var timeout net.Error
	fault := Malformed
	switch {
	case errors.As(err, &tooSmall):
		fault = HeaderTooLarge
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		fault = TooLarge
	case errors.As(err, &timeout) && timeout.Timeout():
		return TimedOut
	}
	if c, ok := ctx.Conn().(*patientConn); ok {
		c.unread = true
	}
	return fault
}

// connectionLog takes fasthttp's messages about connections. Their arguments hold addresses of clients, so
// only the constant text is kept.
type connectionLog struct{ log *slog.Logger }

func (l connectionLog) Printf(format string, _ ...any) { l.log.Debug("connection", "message", format) }
