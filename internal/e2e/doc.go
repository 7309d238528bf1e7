// Package e2e holds no code: its tests run the real binaries on free loopback ports, with a real
// ClickHouse and a real browser, and look at them only from outside: over HTTP, as a shopper, an
// analyst or an operator would. It stands beside the path of the data and walks all of it.
package e2e
