// Release checks a GoReleaser configuration with GoReleaser's own parser, which rejects unknown fields. It has its own module,
// which keeps GoReleaser's dependencies out of the others. GoReleaser's "check" command is a little stricter, but takes minutes
// to build and 120 MB.
package main

import (
	"fmt"
	"os"

	"github.com/goreleaser/goreleaser/v2/pkg/config"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: release FILE")
		os.Exit(2)
	}
	if _, err := config.Load(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
