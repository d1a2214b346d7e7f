package e2e

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/link"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// Flags for the benchmarks. They go after the package: go test -bench . -run '^$' . -rtt 40ms -cold.
var (
	rtt  = flag.Duration("rtt", 100*time.Millisecond, "round-trip time of the links in the benchmarks")
	cold = flag.Bool("cold", false, "also measure builds with an empty cache, which takes minutes")
)

// startLinks puts links between the Step and a sandbox.
func startLinks(t testing.TB, cloud *sandbox.Sandbox, rtt time.Duration) links {
	t.Helper()
	aws, bitrise := hostOf(cloud.AWSURL()), hostOf(cloud.BitriseURL())
	return links{startLink(t, bitrise, rtt), startLink(t, aws, rtt), startLink(t, aws, rtt)}
}

func startLink(t testing.TB, target string, rtt time.Duration) *link.Link {
	t.Helper()
	l, err := link.New(target, rtt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// BenchmarkStep measures a run of the Step's program over TLS on a link with a round trip of 100 ms. docs/performance.md
// explains the figures and the limits.
func BenchmarkStep(b *testing.B) {
	_, program, _ := release(b)
	for _, scenario := range []struct {
		name  string
		given map[string]string
		proxy bool
		// limit is the maximum number of round trips.
		limit float64
	}{
		{"exchange", nil, false, 4.5},
		{"docker-login", map[string]string{"docker_login": "true"}, false, 5.5},
		{"chain-of-two", map[string]string{"role_chain": targetRole}, false, 5.5},
		{"proxy", nil, true, 5.5},
	} {
		b.Run(scenario.name, func(b *testing.B) {
			cloud := startSandbox(b, sandbox.Options{TLS: true, Hosts: []string{"app.bitrise.io", "sts.us-east-1.amazonaws.com"}})
			given := map[string]string{"role_arn": role}
			for key, value := range scenario.given {
				given[key] = value
			}
			between := startLinks(b, cloud, *rtt)
			environ := between.environ(cloud)
			count := func() int { all := between.connections(); return all[0] + all[1] + all[2] }
			if scenario.proxy {
				toProxy := startLink(b, proxyTo(b, cloud), *rtt)
				environ = []string{"HTTPS_PROXY=http://" + toProxy.Address(), "AWS_ENDPOINT_URL_STS="}
				given["build_url"] = strings.Replace(cloud.BuildURL(), cloud.BitriseURL(), "https://app.bitrise.io", 1)
				count = toProxy.Connections
			}
			// The sandbox's CA is one of the system's, which the Step has to read anyway.
			authority := filepath.Join(b.TempDir(), "ca.pem")
			if err := os.WriteFile(authority, cloud.CACertificate(), 0o600); err != nil {
				b.Fatal(err)
			}
			r := newRun(b, cloud, append(environ, "AWS_CA_BUNDLE=", "SSL_CERT_FILE="+authority)...)
			r.program = program
			var took, cpu, memory []float64
			for b.Loop() {
				command := r.command(given)
				start := time.Now()
				output, err := command.CombinedOutput()
				took = append(took, float64(time.Since(start))/float64(*rtt))
				if err != nil {
					b.Fatalf("%v\n%s", err, output)
				}
				cpu = append(cpu, milliseconds(command.ProcessState.UserTime()+command.ProcessState.SystemTime()))
				usage, _ := command.ProcessState.SysUsage().(*syscall.Rusage)
				memory = append(memory, float64(usage.Maxrss)/1024)
			}
			n := float64(len(took))
			b.ReportMetric(0, "ns/op") // reported as round trips instead
			b.ReportMetric(slices.Min(took), "round-trips")
			b.ReportMetric(scenario.limit, "round-trips-limit")
			b.ReportMetric(slices.Min(cpu), "CPU-ms")
			if scenario.name == "exchange" {
				b.ReportMetric(35, "CPU-ms-limit")
			}
			b.ReportMetric(slices.Max(memory), "MiB")
			b.ReportMetric(30, "MiB-limit")
			b.ReportMetric(float64(len(cloud.Calls()))/n, "calls")
			b.ReportMetric(float64(count())/n, "connections")
		})
	}
}

// proxyTo starts a proxy that forwards every tunnel to a sandbox, and returns its address.
func proxyTo(t testing.TB, cloud *sandbox.Sandbox) string {
	return hostOf(startProxy(t, func(host string) string {
		if host == "app.bitrise.io:443" {
			return hostOf(cloud.BitriseURL())
		}
		return hostOf(cloud.AWSURL())
	}).url)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// BenchmarkColdBuild compares the cost of the first build on a machine with that of the smallest program that can make an
// HTTP request. It takes minutes and is skipped without -cold.
func BenchmarkColdBuild(b *testing.B) {
	if !*cold {
		b.Skip("builds with an empty cache take minutes; to measure them: go test -bench ColdBuild -run '^$' . -cold")
	}
	root := root(b)
	hello := b.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module hello\n\ngo 1.25\n",
		"main.go": "package main\n\nimport \"net/http\"\n\nfunc main() { _, _ = http.Get(\"http://localhost\") }\n",
	} {
		if err := os.WriteFile(filepath.Join(hello, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	cost := func(folder string) (cpu float64, size int64) {
		program := filepath.Join(b.TempDir(), "program")
		state := build(b, folder, program, "GOCACHE="+b.TempDir(), "GOFLAGS=").ProcessState
		return (state.UserTime() + state.SystemTime()).Seconds(), sizeOf(b, program)
	}
	build(b, root, filepath.Join(b.TempDir(), "program")) // downloads missing modules
	for b.Loop() {
		b.ReportMetric(0, "ns/op")
		least, _ := cost(hello)
		step, size := cost(root)
		b.ReportMetric(least, "CPU-s-hello")
		b.ReportMetric(step, "CPU-s")
		b.ReportMetric(step/least, "times-hello")
		b.ReportMetric(1.95, "times-hello-limit")
		b.ReportMetric(float64(size)/1e6, "MB")
	}
}
